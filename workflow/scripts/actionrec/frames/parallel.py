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
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from actionrec.errors import InputError, in_lines
from actionrec.frames.workers import Died, call_for_each
from actionrec.utils.files import explained_disk_errors
from actionrec.utils.locks import locked
from actionrec.utils.tables import append_record, drop_partial_row, read_records, write_records
from actionrec.utils.text import count

log = logging.getLogger(__name__)


class Record(Protocol):
    """What a table says of a video's images: a frozen dataclass, `video` first."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def video(self) -> str:
        """Return the name of the video's folder."""

    @property
    def usable(self) -> bool:
        """Tell whether the video has images."""


Source = TypeVar("Source")
AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class ImageKind(Generic[AnyRecord]):
    """A kind of images, frames or flow.

    `folders` are published together below a video's, `record` describes them, `journal` is the name
    of the file that lists the records of finished ones.
    """

    folders: tuple[str, ...]
    record: type[AnyRecord]
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
) -> list[AnyRecord]:
    """Make the images of a kind in `<frames>/<video>` for each video of `sources`.

    `make` runs in `workers` processes, for 0 in this one; returns its records. `died` is asked for
    the record of a video whose process died, with the reason. Raises what `make` raises, and
    `InputError` when the disk is full, or in the end when processes died and there is no `died`;
    what was finished is kept for the next run.
    """
    from tqdm import tqdm  # not for the workers, which import this module

    records: list[AnyRecord] = []
    dead: list[str] = []
    with explained_disk_errors(frames), _work_folder(frames) as (folder, work_folder, part):
        journal = work_folder / kind.journal
        # Of a video that is gone, nothing is to be kept, and its row goes with the next rewrite.
        known = {
            video: record
            for video, record in _read_journal(journal, kind.record).items()
            if video in sources
        }
        tasks = [
            Task(source, folder / video, part / video, known.get(video))
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
                _publish(task, made, kind, known, journal)
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
def _work_folder(frames: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Yield the class's real folder, its work folder, and an empty folder in that for this run.

    The work folder outlasts the job: the journal is in it.
    """
    frames.mkdir(parents=True, exist_ok=True)
    folder = frames.resolve()  # a link to a bigger disk: renames must stay on that disk
    work_folder = folder.with_name(f".{folder.name}")
    work_folder.mkdir(exist_ok=True)
    # Another project that shares the folder, or a job that has outlived its Snakemake.
    with locked(work_folder / "lock", f"Another job is making images in {folder}") as alone:
        for left_by_a_kill in work_folder.glob("part-*") if alone else ():
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        with tempfile.TemporaryDirectory(
            prefix="part-", dir=work_folder, ignore_cleanup_errors=True
        ) as part:
            yield folder, work_folder, Path(part)


def _read_journal(journal: Path, kind: type[AnyRecord]) -> dict[str, AnyRecord]:
    if not journal.exists():
        return {}
    drop_partial_row(journal)
    try:
        return {record.video: record for record in read_records(journal, kind)}
    except InputError:  # damaged, or by a version with other columns: nothing is known of images
        log.warning("%s cannot be read: all images are made again", journal)
        journal.unlink()
        return {}


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
    known: dict[str, AnyRecord],
    journal: Path,
) -> None:
    """Put a video's new images in their place.

    The journal never lists images that are not there: the old row goes before the first old image
    does, the new row comes after the last new one. A kill in between costs the video's images, not
    their truth.
    """
    if record == known.get(record.video) and not task.work_folder.exists():
        return
    if known.pop(record.video, None):
        write_records(journal, kind.record, known.values())
    if not record.usable:
        for name in kind.folders:
            remove(task.folder / name)
        return
    if task.work_folder.exists():
        task.folder.mkdir(exist_ok=True)
        for name in kind.folders:
            images = task.folder / name
            if images.exists():  # moved, not removed: a rename takes no time
                images.rename(task.work_folder / f"replaced-{name}")
            (task.work_folder / name).rename(images)
        shutil.rmtree(task.work_folder)
    known[record.video] = record
    append_record(journal, record)  # the whole table for each video would take as long as 10 frames


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
