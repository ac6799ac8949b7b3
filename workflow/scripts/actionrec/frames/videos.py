"""Find the videos of a class, and decode one while checking that nothing of it is missing.

Nothing heavy is imported at the top, because the Snakefile imports this module; whoever decodes
pays for OpenCV.
"""

import logging
import math
import os
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrec.errors import InputError, some
from actionrec.utils.tables import read_table, unreadable, write_table

if TYPE_CHECKING:
    import numpy as np

# Containers that state no frame count: OpenCV multiplies length by rate, and sound may last longer.
_ESTIMATED = (
    *(".mkv", ".webm", ".flv", ".wmv", ".asf"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
)
SUFFIXES = (".avi", ".mp4", ".m4v", ".mov", ".3gp", *_ESTIMATED)
COLUMNS = ("file", "bytes")

# Containers whose frames have times that OpenCV tells and seeks by exactly.
_TIMED = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
_RUN_UP = 1.0  # seconds to seek to before a cut: what lies before it is read and dropped
_UNKNOWN_RIFF_SIZE = 0xFFFFFFFF  # what a writer that cannot seek back leaves

log = logging.getLogger(__name__)


class BadVideo(Exception):
    """Say why a video cannot be used."""


@dataclass(frozen=True)
class Stream:
    """An opened video: what its header says, and its frames, each (height, width, BGR) uint8."""

    header: int
    fps: float
    frames: "Iterator[np.ndarray]"


def is_video(name: str) -> bool:
    """Tell whether a file of this name counts as a video."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def list_videos(folder: Path) -> list[Path]:
    """Return the videos in `folder`, sorted by name; a warning names the other entries.

    Raises `InputError` when two differ by suffix alone, since both would get the same frames.
    """
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    videos = [path for path in entries if is_video(path.name) and path.is_file()]
    others = [path.name for path in entries if path not in set(videos)]
    if others:
        log.warning("Ignored in %s, not a video: %s", folder, some(others))
    _refuse_twins(folder, videos)
    return videos


def _refuse_twins(folder: Path, videos: Sequence[Path]) -> None:
    by_stem = defaultdict(list)
    for path in videos:
        by_stem[path.stem].append(path.name)
    twins = [" = ".join(names) for names in by_stem.values() if len(names) > 1]
    if twins:
        raise InputError(
            "Videos of one class must differ in more than their suffix.",
            where=folder,
            found=some(twins),
            fix="rename or remove one of each",
        )


def write_files_table(table: Path, videos: Sequence[Path]) -> None:
    """Write the table of a class's videos: file and bytes, sorted by file."""
    write_table(table, COLUMNS, sorted((path.name, path.stat().st_size) for path in videos))


def read_files_table(table: Path) -> dict[str, int]:
    """Return file name -> bytes; raise `InputError` when the table is missing or damaged."""
    try:
        return {name: int(size) for name, size in read_table(table, COLUMNS)}
    except ValueError as error:
        raise unreadable(table, error) from error


def open_video(path: Path, start: float = 0.0, end: float = math.inf) -> Stream:
    """Open a video for one sequential read on one thread; `judge` it at the end.

    `start` and `end` are seconds: the frames are those with start <= time < end. Raises `BadVideo`
    when it is empty, cut off, holds no video stream, or no frame rate to find a time by.
    """
    _refuse_cut_off(path)
    cv2 = _opencv()
    capture = _capture(path)
    header, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    fps = round(fps, 3) if math.isfinite(fps) else 0.0
    whole = start == 0 and end == math.inf
    if not whole and fps <= 0:
        raise BadVideo("states no frame rate, so that no time can be found in it")
    frames = _frames(capture) if whole else _frames_between(path, capture, fps, start, end)
    return Stream(header=max(0, int(header)), fps=fps, frames=frames)


def _capture(path: Path) -> Any:
    cv2 = _opencv()
    # Absolute, so that no name is taken for a protocol ("a:b.avi").
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise BadVideo("holds no video stream that OpenCV can open")
    return capture


def _frames_between(
    path: Path, capture: Any, fps: float, start: float, end: float
) -> "Iterator[np.ndarray]":
    """Yield the frames of a span of seconds; what lies before is sought over, or decoded."""
    cv2 = _opencv()
    timed = path.suffix.lower() in _TIMED
    if timed and start > 2 * _RUN_UP:
        capture = _sought(path, capture, start)
    slack = 0.1 / fps  # a time is written with few digits
    index = 0
    try:
        while capture.grab():
            time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 if timed else index / fps
            if time >= end - slack:
                return
            if time >= start - slack:
                yield capture.retrieve()[1]
            index += 1
    finally:
        capture.release()


def _sought(path: Path, capture: Any, start: float) -> Any:
    """Return a capture that reads from some time before `start`."""
    cv2 = _opencv()
    target = 1000 * (start - _RUN_UP)
    capture.set(cv2.CAP_PROP_POS_MSEC, target)
    if capture.grab() and capture.get(cv2.CAP_PROP_POS_MSEC) <= 1000 * start:
        capture.set(cv2.CAP_PROP_POS_MSEC, target)
        return capture
    capture.release()
    return _capture(path)


def _frames(capture: Any) -> "Iterator[np.ndarray]":
    try:
        while True:
            ok, frame = capture.read()
            if not ok:
                return
            yield frame
    finally:
        capture.release()


def _opencv() -> Any:
    """Import OpenCV without its and FFmpeg's complaints: the manifest says what is wrong."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # A playlist that calls itself .avi must not reach out to the network.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def _refuse_cut_off(path: Path) -> None:
    """Compare an AVI's size with what its RIFF header states: truncation found without decoding."""
    size = path.stat().st_size
    if size == 0:
        raise BadVideo("is empty (0 bytes)")
    with path.open("rb") as file:
        head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"AVI ":
        return
    (stated,) = struct.unpack("<I", head[4:8])
    if stated != _UNKNOWN_RIFF_SIZE and stated + 8 > size:
        raise BadVideo(f"is truncated: {size} of {stated + 8} bytes are there")


def judge(path: Path, header: int, frames: int) -> str:
    """Return "" for a whole video, or a remark when its header counts one frame too many.

    HMDB51's DivX files do: their packed B-frames end with a frame that holds no picture. Raises
    `BadVideo` when more are missing, which is all that OpenCV tells of damage in the middle.
    """
    if frames == 0:
        raise BadVideo("has no frame that can be decoded")
    slack = max(1, header // 10) if path.suffix.lower() in _ESTIMATED else 1
    if frames < header - slack:
        raise BadVideo(f"breaks off: {frames} of {header} frames can be decoded")
    missing = header - frames
    return f"header counts {missing} more than the decodable frames" if missing > 0 else ""
