"""Make folders of images for all videos of a class, in parallel and only once.

Work in progress lives in a folder beside the class's, `.<class>`, since TAO takes whatever it
finds inside the class's for data: finished folders are renamed from there, and a list of them
lets the next run keep what is still right, after a kill as well as after a change.
"""

import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeVar

from actionrec.errors import InputError
from actionrec.utils.files import explained_disk_errors
from actionrec.utils.tables import append_record, drop_half_row, read_records, write_records

R = TypeVar("R")

# What every maker imports is imported once, by the process that workers are forked from.
PRELOADED = ["cv2", "fpng"]

log = logging.getLogger(__name__)


class Record(Protocol):
    """What a table says of a video's images: a frozen dataclass, `video` first."""

    @property
    def video(self) -> str:
        """Return the name of the video's folder."""

    @property
    def usable(self) -> bool:
        """Tell whether the video has images."""


@dataclass(frozen=True)
class Layer:
    """One kind of images: the folders that are published together below a video's, their record,
    and the file that lists the finished ones.
    """

    folders: tuple[str, ...]
    record: type
    done: str


@dataclass(frozen=True)
class Task:
    """One video: its `source`, where its images belong, where to make them, what is known of them.

    The maker leaves the layer's folders in `scratch`, or no `scratch` when `finished` is right.
    """

    source: Any
    finished: Path
    scratch: Path
    known: Any | None


def make_folders(
    frames: Path,
    layer: Layer,
    sources: Mapping[str, Any],
    make: Callable[[Task], R],
    workers: int = 1,
) -> list[R]:
    """Make a layer of images in `<frames>/<video>` for each video of `sources`; return the records.

    `make` runs in `workers` processes. Raises what it raises, and `InputError` when a worker dies
    or the disk is full; what was finished is kept for the next run.
    """
    from tqdm import tqdm  # not for the workers, which import this module

    records = []
    with explained_disk_errors(frames), _workroom(frames) as (folder, scratch, room):
        done = room / layer.done
        known = {
            video: record
            for video, record in _read_done(done, layer.record).items()
            if video in sources
        }
        tasks = [
            Task(source, folder / video, scratch / video, known.get(video))
            for video, source in sources.items()
        ]
        with closing(_run_all(tasks, make, workers)) as results:
            for task, record in tqdm(results, frames.name, len(tasks), unit="video", disable=None):
                records.append(record)
                _publish(task, record, layer, known, done)
    return records


@contextmanager
def _workroom(frames: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Yield the class's real folder, an empty folder for work, and the room that holds the latter.

    The room is beside the class's folder and outlasts the job.
    """
    frames.mkdir(parents=True, exist_ok=True)
    folder = frames.resolve()  # a link to a bigger disk: renames must stay on that disk
    room = folder.with_name(f".{folder.name}")
    room.mkdir(exist_ok=True)
    for left_by_a_kill in room.glob("part-*"):
        shutil.rmtree(left_by_a_kill, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="part-", dir=room, ignore_cleanup_errors=True) as part:
        yield folder, Path(part), room


def _read_done(done: Path, record: type) -> dict[str, Any]:
    if not done.exists():
        return {}
    drop_half_row(done)
    try:
        return {found.video: found for found in read_records(done, record)}
    except InputError:
        log.warning("%s is damaged: all images are made again", done)
        done.unlink()
        return {}


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _publish(
    task: Task, record: Record, layer: Layer, known: dict[str, Record], done: Path
) -> None:
    """Put a video's new images in their place; `done` never lists images that are not there."""
    if record == known.get(record.video) and not task.scratch.exists():
        return
    if known.pop(record.video, None):
        write_records(done, layer.record, known.values())
    if not record.usable:
        for name in layer.folders:
            remove(task.finished / name)
        return
    if task.scratch.exists():
        task.finished.mkdir(exist_ok=True)
        for name in layer.folders:
            images = task.finished / name
            if images.exists():
                images.rename(task.scratch / f"replaced-{name}")
            (task.scratch / name).rename(images)
        shutil.rmtree(task.scratch)
    known[record.video] = record
    append_record(done, record)  # the whole table for each video would take as long as ten frames


def _run_all(
    tasks: Sequence[Task], make: Callable[[Task], R], workers: int
) -> Iterator[tuple[Task, R]]:
    """Run all tasks in worker processes and yield each with its result as it is finished."""
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from ((task, make(task)) for task in tasks)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker)
    try:
        with _own_main():
            futures = {pool.submit(make, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise InputError(
            "A worker process was killed; most often memory ran out.",
            where=tasks[0].finished.parent,
            fix="run the same command again, with fewer --cores; finished videos are kept",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _own_main() -> Iterator[None]:
    """Keep new workers from running the caller's script, which each of them else imports."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and don't outlive it: a killed one cannot end its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
