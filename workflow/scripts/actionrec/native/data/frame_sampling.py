"""Which frames of a video a clip consists of (TAO 7.3's frame samplers).

Frame ids count from 0. A video of `n` frames gives clips of `length` ids, by one of two strategies:
"consecutive" takes every `rate`-th frame from a starting point on, "random_interval" one frame from
each of `length` equal parts of the video. Videos that are too short repeat frames.

The network is evaluated on the clips of one of these modes:

center    one clip from the middle of the video
conv      `segments` consecutive clips spread over the video; interval clips that tile it
all       clips that tile the video; for a 3D network one clip of all frames ("whole")
segments  beyond TAO: `segments` clips of either strategy spread over the video
"""

from collections.abc import Callable

import numpy as np

CONSECUTIVE = "consecutive"


def training_ids(
    n: int, length: int, strategy: str, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the frame ids of a training clip.

    As in TAO a consecutive clip may start one frame too late, and then wraps to the first frame.
    """
    if strategy == CONSECUTIVE:
        last = n - length * rate + 1  # one more than the last start that fits, as in TAO
        return _stretch(int(rng.integers(last + 1)) if last > 0 else 0, n, length, rate)
    part = n // length  # frames; the remainder at the end of the video is never used
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
    """Return the frame ids of each clip of a video that is evaluated, by `mode` (see above).

    `whole` says that the network is 3D: then "all" is one clip of all frames, or the centre clip
    with interval sampling.
    """
    if mode == "segments":
        return _segments(n, length, strategy, rate, segments)
    if mode == "center" or (mode == "all" and whole and strategy != CONSECUTIVE):
        return [centre_ids(n, length, strategy, rate)]
    if strategy != CONSECUTIVE:
        return _interval_tiles(n, length)
    if mode == "conv":
        starts = n - length * rate + 1
        # The starts themselves are spread evenly, so with many segments a start may come twice.
        firsts = _middles(starts, segments) if starts > 0 else [0]
        return [_stretch(first, n, length, rate) for first in firsts]
    return [np.arange(n)] if whole else _consecutive_tiles(n, length, rate)


def _segments(n: int, length: int, strategy: str, rate: int, segments: int) -> list[np.ndarray]:
    """Spread clips evenly; a video that does not have so many gives each of its clips once."""
    # All clips there are, each starting one frame later than the one before.
    if strategy == CONSECUTIVE:
        starts = range(max(1, n - length * rate + 1))
        clips = [_stretch(start, n, length, rate) for start in starts]
    else:
        clips = _interval_tiles(n, length)
    return [clips[i] for i in _middles(len(clips), min(segments, len(clips)))]


def _interval_tiles(n: int, length: int) -> list[np.ndarray]:
    """Return clips of the first, second... frame of each part; a short video repeats its last."""
    part = n // length
    if part == 0:
        return [np.minimum(np.arange(length), n - 1)]
    return [np.arange(length) * part + offset for offset in range(part)]


def _consecutive_tiles(n: int, length: int, rate: int) -> list[np.ndarray]:
    """Return clips that together have each frame once, but for those that are left at the end."""
    stretch = length * rate
    if n < stretch:
        return [_stretch(0, n, length, rate)]
    return [
        np.arange(start + offset, start + stretch, rate)
        for start in range(0, n - stretch + 1, stretch)
        for offset in range(rate)
    ]


def _stretch(start: int, n: int, length: int, rate: int) -> np.ndarray:
    """Return every `rate`-th frame from `start` on; after the last frame comes the first."""
    return (start + np.arange(length) * rate) % n


def _middles(n: int, parts: int) -> np.ndarray:
    """Return the middle of each of `parts` equal parts of `n` frames."""
    part = n / parts
    return np.array([int(part / 2 + part * index) for index in range(parts)])


StreamIds = tuple[np.ndarray, ...]  # the frame ids of each stream of a clip


def stream_training_ids(
    n: int, lengths: tuple[int, ...], strategy: str, rate: int, rng: np.random.Generator
) -> StreamIds:
    """Draw the frame ids of each stream of a training clip; `lengths` are those of the streams.

    The longer of two streams is drawn as in `training_ids`, and the shorter takes some of its
    frames: every `rate`-th in the middle (consecutive), or one of each equal part (interval).
    """
    ids = training_ids(n, max(lengths), strategy, rate, rng)
    if strategy == CONSECUTIVE:
        return _per_stream(ids, lengths, lambda m, part: centre_ids(m, part, strategy, rate))
    return _per_stream(ids, lengths, lambda m, part: _draw_from_parts(m, part, rng))


def stream_clip_ids(
    n: int,
    lengths: tuple[int, ...],
    strategy: str,
    rate: int,
    *,
    mode: str,
    segments: int,
    whole: bool = False,
) -> list[StreamIds]:
    """Return the frame ids of each stream of each clip, as `clip_ids` does for one stream.

    The shorter of two streams takes the middle frame of each part of the longer. Two peculiarities
    of TAO 7.3 are kept: a consecutive centre clip takes every `rate`-th frame again for the shorter
    stream, and ignores `rate` for the longer if both have the same length.
    """
    longest = max(lengths)
    centre = mode == "center" or (mode == "all" and whole and strategy != CONSECUTIVE)
    if len(lengths) == 2 and centre and strategy == CONSECUTIVE:
        longer_rate = rate if lengths[0] != lengths[1] else 1
        ids = centre_ids(n, longest, strategy, longer_rate)
        return [_per_stream(ids, lengths, lambda m, part: centre_ids(m, part, strategy, rate))]
    # All other modes choose the clips of the longer stream as for a network of one stream.
    clips = clip_ids(n, longest, strategy, rate, mode=mode, segments=segments, whole=whole)
    if mode == "all" and whole and strategy == CONSECUTIVE:
        return [(ids,) * len(lengths) for ids in clips]
    return [_per_stream(ids, lengths, _middles) for ids in clips]


def _per_stream(
    ids: np.ndarray, lengths: tuple[int, ...], pick: Callable[[int, int], np.ndarray]
) -> StreamIds:
    """Return all `ids` for the longer streams, and for a shorter one those that `pick` chooses."""
    return tuple(ids if part == len(ids) else ids[pick(len(ids), part)] for part in lengths)


def _draw_from_parts(n: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one of each of `parts` equal parts of `n`; the last part has the remainder, too."""
    part = n // parts
    starts = np.arange(parts) * part
    ends = np.append(starts[1:], n)
    return rng.integers(starts, ends)
