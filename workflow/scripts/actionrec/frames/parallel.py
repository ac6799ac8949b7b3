"""Make folders of images for all videos of a class, in worker processes and only once.

Finished folders are renamed from the job's work folder into the class's. A journal of them lets the
next run keep what is still right, after a kill as well as after a change.
"""

import logging
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from actionrec.errors import InputError, in_lines
from actionrec.frames.class_folder import ClassFolder
from actionrec.frames.journal import AnyRecord, Journal
from actionrec.frames.workers import Died, call_for_each
from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.text import count

log = logging.getLogger(__name__)


Source = TypeVar("Source")


@dataclass(frozen=True)
class ImageKind(Generic[AnyRecord]):
    """A kind of images, frames or flow.

    `folders` are published together below a video's, `record` describes them and has the status
    `unusable` where there are none. `journal` is the name of the file that lists finished ones.
    """

    folders: tuple[str, ...]
    record: type[AnyRecord]
    unusable: str
    journal: str


@dataclass(frozen=True)
class Task(Generic[Source, AnyRecord]):
    """One video: its source, the folder for its images, and the record of those that are there.

    Whoever does the task leaves the kind's folders in `work_folder`, or no `work_folder` at all
    when the images in `folder` are right as they are.
    """

    source: Source
    folder: Path
    work_folder: Path
    known: AnyRecord | None


def make_images(
    held: ClassFolder,
    kind: ImageKind[AnyRecord],
    sources: Mapping[str, Source],
    make: Callable[[Task[Source, AnyRecord]], AnyRecord],
    died: Callable[[Task[Source, AnyRecord], str], AnyRecord] | None = None,
    workers: int = 0,
) -> list[AnyRecord]:
    """Make the images of a kind in the folder of a class, for each video of `sources`.

    These are all videos of the chunk that is `held`. `make` runs in `workers` processes, for 0 in
    this one; returns its records. `died` is asked for the record of a video whose process died,
    with the reason. Raises what `make` raises, and `InputError` when the disk is full, or in the
    end when processes died and there is no `died`; what was finished is kept for the next run.
    """
    from tqdm import tqdm  # not for the workers, which import this module

    records: list[AnyRecord] = []
    dead: list[str] = []
    journal = Journal(held.work_folder / kind.journal, kind.record, kind.unusable, held.chunk)
    tasks = [
        Task(source, held.folder / video, held.part / video, journal.finished.get(video))
        for video, source in sources.items()
    ]
    name = held.folder.name
    # Closed in any case: an error here must end the workers before their folder is removed.
    with closing(_run(tasks, make, workers)) as results:
        for task, made in tqdm(results, name, len(tasks), unit="video", disable=None):
            if isinstance(made, Died):
                remove(task.work_folder)
                dead.append(f"{task.folder.name} {made}")
                if died is None:
                    continue
                made = died(task, str(made))
            records.append(made)
            _publish(task, made, kind, journal)
    if dead and died is None:
        raise InputError(
            f"{count(len(dead), 'process')} died at work.",
            where=held.folder,
            found=in_lines(sorted(dead)),
            fix="run the same command again, with fewer --cores if memory ran out; what was "
            "finished is kept",
        )
    return records


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _publish(
    task: Task[Source, AnyRecord],
    record: AnyRecord,
    kind: ImageKind[AnyRecord],
    journal: Journal[AnyRecord],
) -> None:
    """Put a video's new images in their place.

    The journal never lists images that are not there: the old row is taken back before the first
    old image goes, the new row comes after the last new one. A kill in between costs the video's
    images, not their truth.
    """
    if record == journal.finished.get(record.video) and not task.work_folder.exists():
        return
    journal.take_back(record.video)
    if not record.usable:
        for name in kind.folders:
            remove(task.folder / name)
        return
    if task.work_folder.exists():
        with explained_disk_errors(task.folder):
            task.folder.mkdir(exist_ok=True)
        for name in kind.folders:
            images = task.folder / name
            if images.exists():  # moved, not removed: a rename takes no time
                images.rename(task.work_folder / f"replaced-{name}")
            (task.work_folder / name).rename(images)
        shutil.rmtree(task.work_folder)
    journal.add(record)


def _run(
    tasks: Sequence[Task[Source, AnyRecord]],
    make: Callable[[Task[Source, AnyRecord]], AnyRecord],
    workers: int,
) -> Generator[tuple[Task[Source, AnyRecord], AnyRecord | Died], None, None]:
    """Do all tasks; yield each with its record, or how its process died, as it is finished.

    One whose process was killed is done once more in the end, alone: the kernel kills processes
    for the memory that all of them use, and users kill them too.
    """
    if workers < 1:
        yield from ((task, make(task)) for task in tasks)
        return
    again = []
    for task, made in call_for_each(make, tasks, workers):
        if isinstance(made, Died) and made.killed:
            log.warning("%s %s. Once more, alone", task.folder.name, made)
            remove(task.work_folder)
            again.append(task)
        else:
            yield task, made
    yield from call_for_each(make, again, 1)
