"""Turn the videos of a class into numbered image files in TAO's layout, in parallel and only once.

Work in progress lives in a folder beside the class's, `.<class>`, since TAO takes whatever it
finds inside the class's for data: finished frames are renamed from there, and a list of them
(`done.tsv`) lets the next run keep what is still right, after a kill as well as after a change.
"""

import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tqdm import tqdm

from actionrec.errors import InputError, in_lines
from actionrec.files import explained_disk_errors
from actionrec.manifest import Clip, fingerprint, frame_fault, read_manifest, write_manifest
from actionrec.videos import (
    SUFFIXES,
    BadVideo,
    judge,
    list_videos,
    open_video,
    read_files_table,
)

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coding:
    """How frames are stored: `fmt` png or jpg, `encoder` of png fpng or cv2, `quality` of jpg."""

    fmt: str = "png"
    encoder: str = "fpng"
    quality: int = 95

    @property
    def label(self) -> str:
        """Return what the pixels depend on: not on the encoder of a lossless format."""
        return "png" if self.fmt == "png" else f"jpg {self.quality}"


@dataclass(frozen=True)
class _Task:
    """One video to extract below `scratch`, unless what `finished` holds of it is `known`."""

    video: Path
    finished: Path
    scratch: Path
    known: Clip | None
    coding: Coding


def extract_class(
    videos: Path,
    table: Path,
    frames: Path,
    manifest: Path,
    *,
    fmt: str = "png",
    encoder: str = "fpng",
    quality: int = 95,
    tolerate: int = 0,
    workers: int = 1,
) -> None:
    """Write each video's frames to `<frames>/<video>/rgb/000001.<fmt>...`, then the manifest.

    PNG frames are equal to what OpenCV decodes. Frames of unchanged videos are kept, those of
    videos that are gone are removed. Raises `InputError`, and writes no manifest, when videos of
    `table` are missing, more than `tolerate` of all are bad or none is good, a worker dies or the
    disk is full; what was finished is kept for the next run.
    """
    paths = _all_videos(videos, table)
    coding = Coding(fmt, encoder, quality)
    with explained_disk_errors(manifest), _workroom(frames) as (folder, scratch, done):
        known = _read_done(done)
        known = {path.stem: known[path.stem] for path in paths if path.stem in known}
        _remove_others(folder, {path.stem for path in paths})
        tasks = [
            _Task(path, folder / path.stem, scratch / path.stem, known.get(path.stem), coding)
            for path in paths
        ]
        clips = []
        with closing(_extract_all(tasks, workers)) as results:
            for task, clip in tqdm(results, frames.name, len(tasks), unit="video", disable=None):
                clips.append(clip)
                _publish(task, clip, known, done)
    _require_good(clips, videos, tolerate)
    write_manifest(manifest, clips)
    total = sum(clip.frames for clip in clips)
    log.info("%s: %d frames of %d videos", manifest.stem, total, len(clips))


def _all_videos(videos: Path, table: Path) -> list[Path]:
    """Return the videos of the class, among them all that `table` lists."""
    paths = list_videos(videos) if videos.is_dir() else []
    missing = sorted(read_files_table(table).keys() - {path.name for path in paths})
    if missing:
        raise InputError(
            f"{len(missing)} videos are missing.",
            where=videos,
            found=in_lines(missing),
            fix=f"snakemake -f {table} --cores 1",
        )
    if not paths:
        suffixes = [f"*{suffix}" for suffix in SUFFIXES]
        raise InputError("A class has no videos.", where=videos, allowed=suffixes)
    return paths


@contextmanager
def _workroom(frames: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Yield the class's real folder, an empty folder beside it, and the list of what is done."""
    frames.mkdir(parents=True, exist_ok=True)
    folder = frames.resolve()  # a link to a bigger disk: renames must stay on that disk
    room = folder.with_name(f".{folder.name}")
    room.mkdir(exist_ok=True)
    for left_by_a_kill in room.glob("part-*"):
        shutil.rmtree(left_by_a_kill, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="part-", dir=room, ignore_cleanup_errors=True) as part:
        yield folder, Path(part), room / "done.tsv"


def _read_done(done: Path) -> dict[str, Clip]:
    if not done.exists():
        return {}
    try:
        return {clip.video: clip for clip in read_manifest(done)}
    except InputError:
        log.warning("%s is damaged: all frames are made again", done)
        return {}


def _remove_others(folder: Path, stems: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in stems:
            log.info("Removing %s: its video is gone", path)
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _publish(task: _Task, clip: Clip, known: dict[str, Clip], done: Path) -> None:
    """Put a clip's new frames in their place; `done` never lists frames that are not there."""
    if clip == known.get(clip.video) and not task.scratch.exists():
        return
    if known.pop(clip.video, None):
        write_manifest(done, known.values())
    if not clip.usable:
        _remove(task.finished)
        return
    if task.scratch.exists():
        task.finished.mkdir(exist_ok=True)
        rgb = task.finished / "rgb"
        if rgb.exists():
            rgb.rename(task.scratch / "replaced")
        (task.scratch / "rgb").rename(rgb)
        shutil.rmtree(task.scratch)
    known[clip.video] = clip
    write_manifest(done, known.values())


def _require_good(clips: Sequence[Clip], videos: Path, tolerate: int) -> None:
    bad = sorted(f"{clip.file} {clip.reason}" for clip in clips if not clip.usable)
    if len(bad) > tolerate:
        raise InputError(
            f"{len(bad)} of {len(clips)} videos are bad, {tolerate} are tolerated.",
            where=videos,
            found=in_lines(bad, limit=len(bad)),
            fix="replace them, remove them from a folder of your own, or set frames.tolerate "
            f"to {len(bad)} in the config",
        )
    if len(bad) == len(clips):
        raise InputError(
            "A class has no usable video.",
            where=videos,
            found=in_lines(bad),
            fix="replace them, or take the class out of dataset.classes",
        )
    for line in bad:
        log.warning("Bad video in %s: %s", videos, line)


def _extract_all(tasks: Sequence[_Task], workers: int) -> Iterator[tuple[_Task, Clip]]:
    """Extract all tasks in worker processes and yield each as it is finished."""
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from ((task, _extract_clip(task)) for task in tasks)
        return
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        with _own_main():
            futures = {pool.submit(_extract_clip, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise InputError(
            "A worker process was killed while extracting frames; most often memory ran out.",
            where=tasks[0].video.parent,
            fix="run the same command again, with fewer --cores; finished frames are kept",
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


def _extract_clip(task: _Task) -> Clip:
    """Decode one video below `task.scratch`, or return `task.known` when that is still true."""
    path, rgb = task.video, task.scratch / "rgb"
    size, digest = path.stat().st_size, fingerprint(path)
    clip = Clip(path.stem, path.name, 0, 0, 0, 0.0, size, digest, "", "bad", "cannot be read")
    if not digest:
        return clip
    if task.known and _unchanged(task, digest):
        return replace(task.known, file=path.name)
    try:
        stream = open_video(path)
        with explained_disk_errors(task.finished):
            width, height = _write_frames(stream.frames, rgb, task.coding)
        count = sum(1 for _ in rgb.iterdir())
        remark = judge(path, stream.header, count)
    except BadVideo as error:
        shutil.rmtree(task.scratch, ignore_errors=True)
        return replace(clip, reason=str(error))
    return replace(
        clip,
        frames=count,
        width=width,
        height=height,
        fps=stream.fps,
        format=task.coding.label,
        status="warn" if remark else "ok",
        reason=remark,
    )


def _unchanged(task: _Task, digest: str) -> bool:
    same = (task.known.sha256, task.known.format) == (digest, task.coding.label)
    return same and not frame_fault(task.finished / "rgb", task.known.frames, task.known.suffix)


def _write_frames(frames: "Iterator[np.ndarray]", folder: Path, coding: Coding) -> tuple[int, int]:
    """Write numbered image files and return their (width, height)."""
    encode = make_encoder(coding)
    folder.mkdir(parents=True)
    height = width = 0
    for number, frame in enumerate(frames, 1):
        height, width = frame.shape[:2]
        (folder / f"{number:06d}.{coding.fmt}").write_bytes(encode(frame))
    return width, height


def make_encoder(coding: Coding) -> "Callable[[np.ndarray], bytes]":
    """Return the function that turns a (height, width, BGR) uint8 frame into a file's bytes."""
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism

    def by_opencv(frame: "np.ndarray") -> bytes:
        options = [cv2.IMWRITE_JPEG_QUALITY, coding.quality] if coding.fmt == "jpg" else []
        return cv2.imencode(f".{coding.fmt}", frame, options)[1].tobytes()

    if coding.fmt == "jpg" or coding.encoder == "cv2":
        return by_opencv
    try:
        import fpng
    except ImportError as error:
        log.warning("fpng cannot be loaded (%s): OpenCV writes the PNG files, slower", error)
        return by_opencv

    def by_fpng(frame: "np.ndarray") -> bytes:
        try:
            return fpng.from_ndarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        except RuntimeError:
            return by_opencv(frame)

    return by_fpng
