"""Which frames of a video a clip is made of (TAO 7.3's frame samplers).

Frame ids count from 0; a video of `n` frames gives clips of `length` ids. "consecutive" takes
every `rate`-th frame of a stretch, "random_interval" one frame from each of `length` equal
parts of the video. Videos that are too short repeat frames.
"""

import numpy as np

CONSECUTIVE = "consecutive"


def training_ids(
    n: int, length: int, strategy: str, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the frame ids of a training clip.

    A consecutive clip may start one frame later than would fit and then wraps to the first
    frame, as TAO's does.
    """
    if strategy == CONSECUTIVE:
        last = n - length * rate + 1
        return _stretch(int(rng.integers(last + 1)) if last > 0 else 0, n, length, rate)
    part = n // length
    if part == 0:
        return np.sort(rng.integers(n, size=length))
    return np.arange(length) * part + rng.integers(part, size=length)


def centre_ids(n: int, length: int, strategy: str, rate: int) -> np.ndarray:
    """Return the frame ids of the clip in the middle of a video."""
    if strategy == CONSECUTIVE:
        return _stretch(max(0, int((n - length * rate + 1) / 2)), n, length, rate)
    return _middles(n, length)


def clip_ids(
    n: int, length: int, strategy: str, rate: int, *, mode: str, segments: int, whole: bool = False
) -> list[np.ndarray]:
    """Return the frame ids of each clip that a video is judged by.

    `mode` is "center" (one clip), "conv" (`segments` consecutive clips spread over the video) or
    "all" (clips that tile the video). Interval clips tile the video in "conv" too. 3D networks
    take "all" as one `whole` clip: all frames, or the centre clip of interval sampling. Beyond
    TAO, "segments" spreads `segments` clips of either strategy over the video.
    """
    if mode == "segments":
        return _segments(n, length, strategy, rate, segments)
    if mode == "center" or (mode == "all" and whole and strategy != CONSECUTIVE):
        return [centre_ids(n, length, strategy, rate)]
    if strategy != CONSECUTIVE:
        return _interval_tiles(n, length)
    if mode == "conv":
        starts = n - length * rate + 1
        firsts = _middles(starts, segments) if starts > 0 else [0]
        return [_stretch(first, n, length, rate) for first in firsts]
    return [np.arange(n)] if whole else _consecutive_tiles(n, length, rate)


def _segments(n: int, length: int, strategy: str, rate: int, segments: int) -> list[np.ndarray]:
    """Spread clips evenly; of a video that has not so many, return each that it has once."""
    if strategy == CONSECUTIVE:
        firsts = range(max(1, n - length * rate + 1))
        tiles = [_stretch(first, n, length, rate) for first in firsts]
    else:
        tiles = _interval_tiles(n, length)
    return [tiles[i] for i in _middles(len(tiles), min(segments, len(tiles)))]


def _interval_tiles(n: int, length: int) -> list[np.ndarray]:
    part = n // length
    if part == 0:
        return [np.minimum(np.arange(length), n - 1)]
    return [np.arange(length) * part + offset for offset in range(part)]


def _consecutive_tiles(n: int, length: int, rate: int) -> list[np.ndarray]:
    stretch = length * rate
    if n < stretch:
        return [_stretch(0, n, length, rate)]
    return [
        np.arange(start + offset, start + stretch, rate)
        for start in range(0, n - stretch + 1, stretch)
        for offset in range(rate)
    ]


def _stretch(start: int, n: int, length: int, rate: int) -> np.ndarray:
    return (start + np.arange(length) * rate) % n


def _middles(n: int, parts: int) -> np.ndarray:
    """Return the middle of each of `parts` equal parts of `n` frames."""
    part = n / parts
    return np.array([int(part / 2 + part * index) for index in range(parts)])
