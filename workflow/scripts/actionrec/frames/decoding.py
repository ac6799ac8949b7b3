"""Open a video and decode its frames, all of them or those of a span of seconds.

This is the one module that knows the decoder, OpenCV's FFmpeg. It is imported when a video is
opened, not before: whoever only lists videos does not pay for it.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrec.frames.checks import BadVideo, check_file

if TYPE_CHECKING:
    import numpy as np

# Containers whose frames have times that OpenCV tells, and by which it seeks exactly.
_TIMED = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
_RUN_UP = 1.0  # seconds before a span to seek to: what lies before it is read and dropped


@dataclass(frozen=True)
class VideoStream:
    """An opened video: what its header states, and its frames, each (height, width, BGR) uint8."""

    stated_frames: int
    fps: float
    frames: "Iterator[np.ndarray]"


def open_video(path: Path, start: float = 0.0, end: float = math.inf) -> VideoStream:
    """Open a video for one sequential read on one thread; whether it was whole is for `checks`.

    `start` and `end` are seconds: the frames are those with start <= time < end. Raises `BadVideo`
    when it is empty, cut off, holds no video stream, or no frame rate to find a time by.
    """
    check_file(path)
    cv2 = _opencv()
    capture = _capture(path)
    stated, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    fps = round(fps, 3) if math.isfinite(fps) else 0.0
    whole = start == 0 and end == math.inf
    if not whole and fps <= 0:
        raise BadVideo("states no frame rate, so that no time can be found in it")
    frames = _all_frames(capture) if whole else _frames_between(path, capture, fps, start, end)
    return VideoStream(stated_frames=max(0, int(stated)), fps=fps, frames=frames)


def _capture(path: Path) -> Any:
    cv2 = _opencv()
    # Absolute, so that no name is taken for a protocol ("a:b.avi").
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise BadVideo("holds no video stream that OpenCV can open")
    return capture


def _all_frames(capture: Any) -> "Iterator[np.ndarray]":
    try:
        while True:
            ok, frame = capture.read()
            if not ok:
                return
            yield frame
    finally:
        capture.release()


def _frames_between(
    path: Path, capture: Any, fps: float, start: float, end: float
) -> "Iterator[np.ndarray]":
    """Yield the frames of a span of seconds; what lies before it is skipped by seeking or decoding.

    Where the container's times cannot be trusted, a frame's time is its index by the frame rate.
    """
    cv2 = _opencv()
    timed = path.suffix.lower() in _TIMED
    if timed and start > 2 * _RUN_UP:
        capture = _seek_before(path, capture, start)
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


def _seek_before(path: Path, capture: Any, start: float) -> Any:
    """Return a capture that reads from some time before `start`."""
    cv2 = _opencv()
    target = 1000 * (start - _RUN_UP)
    capture.set(cv2.CAP_PROP_POS_MSEC, target)
    # A seek may land behind its target: one frame shows where, and costs another seek.
    if capture.grab() and capture.get(cv2.CAP_PROP_POS_MSEC) <= 1000 * start:
        capture.set(cv2.CAP_PROP_POS_MSEC, target)
        return capture
    capture.release()
    return _capture(path)


def _opencv() -> Any:
    """Import OpenCV without its and FFmpeg's complaints: the manifest says what is wrong."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # A playlist that calls itself .avi must not reach out to the network.
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
