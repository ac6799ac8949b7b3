"""The order of an epoch's clips, in which every class may have an equal share."""

from collections.abc import Callable, Sequence

import numpy as np

# Draws the clips of an epoch. Clip v + r * videos is the r-th of video v.
Order = Callable[[np.random.Generator], np.ndarray]


def shuffled(clips: int) -> Order:
    """Return the order in which each of `clips` comes once."""
    return lambda rng: rng.permutation(clips)


def balanced(labels: Sequence[int], clips: int) -> Order:
    """Return the order in which every class has equally many of `clips`, give or take one.

    `labels` are the videos' classes. Within a class all videos come equally often, give or take
    one, and a video that comes again gives another clip.
    """
    groups = [np.flatnonzero(np.equal(labels, label)) for label in np.unique(labels)]

    def order(rng: np.random.Generator) -> np.ndarray:
        share, rest = divmod(clips, len(groups))
        extra = rng.permutation(len(groups)) < rest
        drawn = [
            _repeated(videos, share + more, len(labels), rng)
            for videos, more in zip(groups, extra, strict=True)
        ]
        return rng.permutation(np.concatenate(drawn))

    return order


def _repeated(videos: np.ndarray, count: int, total: int, rng: np.random.Generator) -> np.ndarray:
    rounds = -(-count // len(videos))
    clips = [rng.permutation(videos) + number * total for number in range(rounds)]
    return np.concatenate(clips)[:count] if clips else videos[:0]
