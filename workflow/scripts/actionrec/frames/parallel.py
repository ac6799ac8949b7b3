"""Make folders of images for all videos of a class, in worker processes and only once.

Work in progress lives in a folder next to the class's, `.<class>`, since TAO takes whatever it
finds inside the class's for data. Finished folders are renamed from there into the class's. A
journal of them lets the next run keep what is still right, after a kill as well as after a change.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from actionrec.errors import InputError, in_lines
from actionrec.frames.journal import AnyRecord, Journal
from actionrec.frames.workers import Died, call_for_each
from actionrec.utils.chunks import WHOLE, Chunk
from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.locks import locked, try_lock
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
    frames: Path,
    kind: ImageKind[AnyRecord],
    sources: Mapping[str, Source],
    make: Callable[[Task[Source, AnyRecord]], AnyRecord],
    died: Callable[[Task[Source, AnyRecord], str], AnyRecord] | None = None,
    workers: int = 0,
    chunk: Chunk = WHOLE,
) -> list[AnyRecord]:
    """Make the images of a kind in `<frames>/<video>` for each video of `sources`.

    These are all videos of the class, or those of a `chunk` of it. `make` runs in `workers`
    processes, for 0 in this one; returns its records. `died` is asked for the record of a video
    whose process died, with the reason. Raises what `make` raises, and `InputError` when the disk
    is full, or in the end when processes died and there is no `died`; what was finished is kept for
    the next run.
    """
    from tqdm import tqdm  # not for the workers, which import this module

    records: list[AnyRecord] = []
    dead: list[str] = []
    with explained_disk_errors(frames), _work_folder(frames, chunk) as (folder, work_folder, part):
        journal = Journal(work_folder / kind.journal, kind.record, kind.unusable, chunk)
        tasks = [
            Task(source, folder / video, part / video, journal.finished.get(video))
            for video, source in sources.items()
        ]
        # Closed in any case: an error here must end the workers before their folder is removed.
        with closing(_run(tasks, make, workers)) as results:
            for task, made in tqdm(results, frames.name, len(tasks), unit="video", disable=None):
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
            where=frames,
            found=in_lines(sorted(dead)),
            fix="run the same command again, with fewer --cores if memory ran out; what was "
            "finished is kept",
        )
    return records


@contextmanager
def _work_folder(frames: Path, chunk: Chunk) -> Iterator[tuple[Path, Path, Path]]:
    """Yield the class's real folder, its work folder, and an empty folder in that for this run.

    The work folder outlasts the job: the journal is in it.
    """
    frames.mkdir(parents=True, exist_ok=True)
    folder = frames.resolve()  # a link to a bigger disk: renames must stay on that disk
    work_folder = folder.with_name(f".{folder.name}")
    work_folder.mkdir(exist_ok=True)
    # The other chunks of the class are being made next to this one.
    own, busy = ("", "") if chunk == WHOLE else (f"-{chunk}", f" of chunk {chunk}")
    # Another project that shares the folder, or a job that has outlived its Snakemake.
    lock = work_folder / f"lock{own}"
    with locked(lock, f"Another job is making images{busy} in {folder}") as alone:
        if alone:
            _remove_parts(work_folder, own)
            _remove_parts_of_others(work_folder, own)
        with tempfile.TemporaryDirectory(
            prefix=f"part{own}-", dir=work_folder, ignore_cleanup_errors=True
        ) as part:
            yield folder, work_folder, Path(part)


def _remove_parts(work_folder: Path, own: str) -> None:
    """Remove what killed jobs left that had this suffix."""
    for left_by_a_kill in work_folder.glob(f"part{own}-????????"):
        shutil.rmtree(left_by_a_kill, ignore_errors=True)


def _remove_parts_of_others(work_folder: Path, own: str) -> None:
    """Remove what killed jobs of other chunks left: there may be none of these any more."""
    for lock in work_folder.glob("lock*"):
        other = lock.name.removeprefix("lock")
        if other != own and any(work_folder.glob(f"part{other}-????????")):
            with try_lock(lock) as ended:
                if ended:
                    _remove_parts(work_folder, other)


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
