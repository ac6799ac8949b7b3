"""Make folders of images for all videos of a class, in worker processes and only once.

Work in progress lives in a folder next to the class's, `.<class>`, since TAO takes whatever it
finds inside the class's for data. Finished folders are renamed from there into the class's. A
journal of them lets the next run keep what is still right, after a kill as well as after a change.
"""

import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from actionrec.errors import InputError
from actionrec.utils.files import explained_disk_errors
from actionrec.utils.tables import append_record, drop_partial_row, read_records, write_records

# Imported once, by the server process that workers are forked from, and not by each worker.
PRELOADED = ["cv2", "fpng"]

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
    workers: int = 1,
) -> list[AnyRecord]:
    """Make the images of a kind in `<frames>/<video>` for each video of `sources`.

    `make` runs in `workers` processes; returns its records. Raises what it raises, and `InputError`
    when a worker dies or the disk is full; what was finished is kept for the next run.
    """
    from tqdm import tqdm  # not for the workers, which import this module

    records = []
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
            for task, record in tqdm(results, frames.name, len(tasks), unit="video", disable=None):
                records.append(record)
                _publish(task, record, kind, known, journal)
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
    for left_by_a_kill in work_folder.glob("part-*"):
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
) -> Generator[tuple[Task[Source, AnyRecord], AnyRecord], None, None]:
    """Do all tasks in worker processes; yield each with its record as it is finished."""
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from ((task, make(task)) for task in tasks)
        return
    # Forked from a small server: a plain fork would copy this process's threads' locks, and a
    # spawned process would import everything again.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker)
    try:
        with _no_main_module():  # workers are started by the first submissions
            futures = {pool.submit(make, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise InputError(
            "A worker process was killed; most often memory ran out.",
            where=tasks[0].folder.parent,
            fix="run the same command again, with fewer --cores; finished videos are kept",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep new workers from running the caller's script, which each of them would else import."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it: a killed parent cannot end its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent:
            parent.join()
            os._exit(1)  # at once, whatever the main thread is decoding

    threading.Thread(target=end_with_parent, daemon=True).start()
