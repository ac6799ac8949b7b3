"""What the clips of a training draw: known of every clip at any time, from the seed alone."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np

from actionrec.native.data import frame_sampling

CLIPS_AT_ONCE = 100  # of a video: to draw them takes a few milliseconds, and they have most frames


class TrainingDraws:
    """Draws clips of videos, of which `counts` are the numbers of frames, in some epochs.

    A key is (epoch, clip), and clip v + r * (number of videos) is the r-th clip of video v. `model`
    is the spec's section, `lengths` are the numbers of frames that a clip has of each stream.
    `epoch` is the present one.
    """

    def __init__(
        self,
        counts: list[int],
        model: Any,
        lengths: Iterable[int],
        *,
        seed: int,
        clips_per_video: int,
        epochs: int,
    ) -> None:
        self._counts, self._model, self._lengths = counts, model, tuple(lengths)
        self._seed, self._clips_per_video, self._epochs = seed, clips_per_video, epochs
        self.epoch = 0

    def __len__(self) -> int:
        """The number of clips of an epoch."""
        return len(self._counts) * self._clips_per_video

    def video_of(self, key: tuple[int, int]) -> int:
        """Return the index of the video that a clip is cut from."""
        return key[1] % len(self._counts)

    def draw(self, key: tuple[int, int]) -> tuple[frame_sampling.StreamIds, np.random.Generator]:
        """Draw the frames of each stream of a clip; return what draws the rest of it, too."""
        epoch, clip = key
        # A counter-based generator: the draws of one clip need none of the draws before it.
        rng = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 1, epoch, clip]))
        model, count = self._model, self._counts[self.video_of(key)]
        ids = frame_sampling.stream_training_ids(
            count, self._lengths, model.sample_strategy, model.sample_rate, rng
        )
        return ids, rng

    def upcoming(self, place: int, video: int) -> Iterator[np.ndarray]:
        """Yield the frames of a video that this epoch's clips draw, then those that later ones do.

        `place` is that of the stream. All clips count that a video has, whoever draws them: other
        ranks, or, with balanced classes, nobody.
        """
        later = self.epoch + 1
        yield self._drawn(place, video, range(self.epoch, later))
        step = max(1, CLIPS_AT_ONCE // self._clips_per_video)
        for first in range(later, self._epochs, step):
            yield self._drawn(place, video, range(first, min(first + step, self._epochs)))

    def _drawn(self, place: int, video: int, epochs: Iterable[int]) -> np.ndarray:
        """Return the frames that the clips of a video draw in some epochs, of one stream."""
        keys = product(epochs, range(video, len(self), len(self._counts)))
        return np.unique(np.concatenate([self.draw(key)[0][place] for key in keys]))
