"""Which frames of a video a clip is made of (TAO 7.3's frame samplers).

Frame ids count from 0; a video of `n` frames gives clips of `length` ids. "consecutive" takes
every `rate`-th frame of a stretch, "random_interval" one frame from each of `length` equal
parts of the video. Videos that are too short repeat frames.
"""

from collections.abc import Callable

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


Ids = tuple[np.ndarray, ...]  # of each stream


def stream_training_ids(
    n: int, lengths: tuple[int, ...], strategy: str, rate: int, rng: np.random.Generator
) -> Ids:
    """Draw the frame ids of each stream of a training clip, of `lengths` frames.

    Of two streams the longer is drawn as `training_ids` does, and the shorter takes some of its
    frames: the middle of a stretch, every `rate`-th again, or one of each equal part.
    """
    ids = training_ids(n, max(lengths), strategy, rate, rng)
    if strategy == CONSECUTIVE:
        return _share(ids, lengths, lambda m, part: centre_ids(m, part, strategy, rate))
    return _share(ids, lengths, lambda m, part: _drawn_from_parts(m, part, rng))


def stream_clip_ids(
    n: int,
    lengths: tuple[int, ...],
    strategy: str,
    rate: int,
    *,
    mode: str,
    segments: int,
    whole: bool = False,
) -> list[Ids]:
    """Return the frame ids of each stream of each clip, as `clip_ids` does for one stream.

    Two streams share frames as in `stream_training_ids`, the shorter taking the middle of each
    part. As in TAO 7.3, a centre clip of two equal lengths ignores `rate`, and in the modes conv
    and all the shorter stream always takes the middle of each part.
    """
    longest = max(lengths)
    centre = mode == "center" or (mode == "all" and whole and strategy != CONSECUTIVE)
    if len(lengths) == 2 and centre and strategy == CONSECUTIVE:
        own = rate if lengths[0] != lengths[1] else 1
        ids = centre_ids(n, longest, strategy, own)
        return [_share(ids, lengths, lambda m, part: centre_ids(m, part, strategy, rate))]
    clips = clip_ids(n, longest, strategy, rate, mode=mode, segments=segments, whole=whole)
    if mode == "all" and whole and strategy == CONSECUTIVE:
        return [(ids,) * len(lengths) for ids in clips]
    return [_share(ids, lengths, _middles) for ids in clips]


def _share(
    ids: np.ndarray, lengths: tuple[int, ...], pick: Callable[[int, int], np.ndarray]
) -> Ids:
    """Give the longer streams all `ids`, and a shorter one those that `pick` takes."""
    return tuple(ids if part == len(ids) else ids[pick(len(ids), part)] for part in lengths)


def _drawn_from_parts(n: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one of each of `parts` equal parts of `n`; the last part has what is left over too."""
    part = n // parts
    starts = np.arange(parts) * part
    ends = np.append(starts[1:], n)
    return rng.integers(starts, ends)
