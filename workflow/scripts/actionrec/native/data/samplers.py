"""Which clips make up each batch: the order of an epoch, and batches of equal clips."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

import numpy as np

from actionrec.native.distributed import launch

Item = TypeVar("Item")

# Draws the clips of one epoch: clip v + r * (number of videos) is the r-th clip of video v.
EpochOrder = Callable[[np.random.Generator], np.ndarray]


def shuffled(num_clips: int) -> EpochOrder:
    """Return an order in which each of `num_clips` clips comes once."""
    return lambda rng: rng.permutation(num_clips)


def class_balanced(labels: Sequence[int], num_clips: int) -> EpochOrder:
    """Return an order in which every class has equally many of `num_clips` clips, within one.

    `labels` are the class ids of the videos. Within a class every video comes equally often,
    within one, and each time with another of its clips.
    """
    groups = [np.flatnonzero(np.equal(labels, label)) for label in np.unique(labels)]

    def order(rng: np.random.Generator) -> np.ndarray:
        share, rest = divmod(num_clips, len(groups))
        extra = rng.permutation(len(groups)) < rest  # the classes that get one clip more
        drawn = [
            _draw_clips(videos, share + more, len(labels), rng)
            for videos, more in zip(groups, extra, strict=True)
        ]
        return rng.permutation(np.concatenate(drawn))

    return order


def _draw_clips(
    videos: np.ndarray, count: int, num_videos: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw `count` clips of some videos: round by round, each time in another order."""
    rounds = -(-count // len(videos))
    clips = [rng.permutation(videos) + number * num_videos for number in range(rounds)]
    return np.concatenate(clips)[:count] if clips else videos[:0]


class TrainBatchSampler:
    """Yields the batches of one epoch as lists of keys (epoch, clip).

    The order is drawn from the seed and the epoch alone. Each of several ranks takes every
    `world_size`-th clip. All take equally many, so the first clips may come twice, as with
    PyTorch's DistributedSampler.
    """

    def __init__(
        self, num_clips: int, batch_size: int, seed: int, order: EpochOrder | None = None
    ) -> None:
        self._clips_per_rank = -(-num_clips // launch.world_size())
        self._batch_size, self._seed = batch_size, seed
        self._order = order or shuffled(num_clips)
        self.set_epoch(0)

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose the epoch of the next pass, and the batch that it starts from."""
        self._epoch, self._first_batch = epoch, first_batch

    def __len__(self) -> int:
        """The number of batches of an epoch, for this rank."""
        return -(-self._clips_per_rank // self._batch_size)

    @property
    def num_clips(self) -> int:
        """The number of clips of an epoch, for all ranks together."""
        return self._clips_per_rank * launch.world_size()

    @property
    def largest_batch(self) -> list[tuple[int, int]]:
        """A batch as large as any, of arbitrary clips."""
        return [(0, 0)] * self._batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rng = np.random.default_rng((self._seed, 0, self._epoch))
        clips = np.resize(self._order(rng), self.num_clips)  # repeats the first ones at the end
        shard = clips[launch.rank() :: launch.world_size()]
        first = self._first_batch * self._batch_size
        for start in range(first, self._clips_per_rank, self._batch_size):
            batch = shard[start : start + self._batch_size]
            yield [(self._epoch, int(clip)) for clip in batch]


def split_evenly(items: list[Item], max_size: int, num_consumers: int = 1) -> list[list[Item]]:
    """Divide items, in their order, into equal parts of at most `max_size`.

    There are as many parts for each consumer, so that none of them works alone at the end.
    """
    if not items:
        return []
    rounds = -(-len(items) // (max_size * num_consumers))
    size = -(-len(items) // (rounds * num_consumers))
    return [items[start : start + size] for start in range(0, len(items), size)]


def equal_length_batches(
    lengths: Sequence[int], max_batch_size: Callable[[int], int]
) -> list[list[int]]:
    """Return batches of consecutive clips of one length, as lists of their indices.

    `lengths` are the numbers of frames of all clips; a batch has up to `max_batch_size(length)`.
    """
    batches: list[list[int]] = []
    for length, group in groupby(range(len(lengths)), lengths.__getitem__):
        batches += split_evenly(list(group), max_batch_size(length))
    return batches
