"""Clips that videos are trained on and judged by, and the batches that they come in."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

import numpy as np
from omegaconf import OmegaConf

from actionrec.errors import InputError
from actionrec.native.data import frame_sampling, samplers, transforms
from actionrec.native.data.dataloader import Facts, Loader
from actionrec.native.data.frame_cache import CHANNELS, FrameReader
from actionrec.native.data.frame_memory import Memory
from actionrec.native.data.videos import Video
from actionrec.native.distributed import launch
from actionrec.native.networks.i3d import MIN_FRAMES
from actionrec.native.streams import stream_lengths

Item = TypeVar("Item")


class TrainingClips:
    """Random clips: `clips_per_video` of each video in an epoch.

    A clip's key is (epoch, index), and what is drawn depends on the seed and this key alone: not
    on the number of threads, nor on whether the training was interrupted.
    """

    def __init__(self, videos: Sequence[Video], spec: Any, memory: Memory) -> None:
        self._videos, self._seed = videos, spec.train.seed
        self._model, self._augmentation = _plain(spec)
        self._clips_per_video = spec.dataset.clips_per_video
        self._lengths = stream_lengths(self._model)
        self._sizes = _sizes(videos, self._model, self._augmentation, training=True)
        clips = spec.train.num_epochs * self._clips_per_video
        self._readers = {
            stream: FrameReader(videos, stream, self._sizes, memory, draws=clips * length)
            for stream, length in self._lengths.items()
        }

    def __len__(self) -> int:
        return len(self._videos) * self._clips_per_video

    @property
    def nbytes(self) -> int:
        """The bytes of all frames that clips are cut out of."""
        return sum(reader.nbytes for reader in self._readers.values())

    def shapes(self, key: tuple[int, int]) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of each stream of a clip."""
        return _shapes(self._model, self._lengths)

    def video(self, key: tuple[int, int]) -> int:
        """Return the number of the video that a clip is cut out of."""
        return key[1] % len(self._videos)

    def write(self, key: tuple[int, int], clip: Mapping[str, np.ndarray]) -> Facts:
        """Draw a clip, and write it into arrays of these shapes."""
        epoch, index = key
        number = self.video(key)
        video, model = self._videos[number], self._model
        rng = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 1, epoch, index]))
        ids = frame_sampling.stream_training_ids(
            video.length,
            tuple(self._lengths.values()),
            model.sample_strategy,
            model.sample_rate,
            rng,
        )
        crop, flip = transforms.draw(self._sizes[number], model, self._augmentation, rng)
        _write(self._readers, number, ids, crop, clip)
        return Facts(video.label, flip, number)


class FixedClips:
    """The clips that videos are judged by; `mode` and `segments` as in `sampling.clip_ids`.

    A clip's key is its index. Frames are read once, and forgotten after a video's last clip if
    this pass is the only one (`once`).
    """

    def __init__(
        self,
        videos: Sequence[Video],
        spec: Any,
        memory: Memory,
        *,
        mode: str = "center",
        segments: int = 1,
        once: bool = False,
    ) -> None:
        self._videos, self._once = videos, once
        self._model, augmentation = _plain(spec)
        model, lengths = self._model, stream_lengths(self._model)
        sizes = _sizes(videos, model, augmentation, training=False)
        self._readers = {stream: FrameReader(videos, stream, sizes, memory) for stream in lengths}
        self._items = [
            (number, ids)
            for number, video in enumerate(videos)
            for ids in frame_sampling.stream_clip_ids(
                video.length,
                tuple(lengths.values()),
                model.sample_strategy,
                model.sample_rate,
                mode=mode,
                segments=segments,
                whole=model.input_type == "3d",
            )
        ]
        self._left = Counter(number for number, _ in self._items)
        size = (model.input_width, model.input_height)
        crops = augmentation.val_center_crop
        self._crop = transforms.centre_crop(size) if crops else transforms.whole
        if model.backbone == "i3d":
            self._refuse_short()

    def _refuse_short(self) -> None:
        for number, ids in self._items:
            if len(ids[0]) < MIN_FRAMES:
                raise InputError(
                    "A whole video is too short for the backbone i3d.",
                    where=self._videos[number].folder,
                    found=f"{len(ids[0])} frames",
                    allowed=[f"{MIN_FRAMES} or more"],
                    fix="leave the video out, or judge videos by their centre (mode center)",
                )

    def __len__(self) -> int:
        return len(self._items)

    @property
    def lengths(self) -> list[int]:
        """The number of images of each clip, in its first stream."""
        return [len(ids[0]) for _, ids in self._items]

    def shapes(self, key: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of each stream of a clip."""
        lengths = map(len, self._items[key][1])
        return _shapes(self._model, dict(zip(self._readers, lengths, strict=True)))

    def video(self, key: int) -> int:
        """Return the number of the video that a clip is cut out of."""
        return self._items[key][0]

    def write(self, key: int, clip: Mapping[str, np.ndarray]) -> Facts:
        """Write a clip into arrays of these shapes."""
        number, ids = self._items[key]
        _write(self._readers, number, ids, self._crop, clip)
        self._left[number] -= 1
        if self._once and not self._left[number]:
            for reader in self._readers.values():
                reader.forget(number)
        return Facts(self._videos[number].label, False, number)


def _plain(spec: Any) -> tuple[Any, Any]:
    """Return the sections model and augmentation_config as objects, which are quick to look at."""
    sections = (spec.model, spec.dataset.augmentation_config)
    return tuple(OmegaConf.to_object(section) for section in sections)


def _sizes(
    videos: Sequence[Video], model: Any, augmentation: Any, *, training: bool
) -> list[tuple[int, int]]:
    return [
        transforms.prepared_size(video.size, model, augmentation, training=training)
        for video in videos
    ]


def _shapes(model: Any, lengths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    size = (model.input_height, model.input_width)
    return {stream: (length, *size, CHANNELS[stream]) for stream, length in lengths.items()}


def _write(
    readers: Mapping[str, FrameReader],
    video: int,
    ids: Sequence[np.ndarray],
    crop: transforms.Crop,
    clip: Mapping[str, np.ndarray],
) -> None:
    for (stream, reader), wanted in zip(readers.items(), ids, strict=True):
        held = reader.held(video)
        if held is not None and isinstance(crop, transforms.Window):
            np.copyto(clip[stream], crop(held)[wanted])
            continue
        for place, frame in enumerate(reader.read(video, wanted)):
            clip[stream][place] = crop(frame)


class TrainingBatches:
    """The batches of one epoch: clips in an order drawn from the seed and the epoch.

    Set `epoch` before each pass; `skip` batches are left out at its start. Of several processes
    each takes every `size`-th clip and equally many, for which the first clips may come again, as
    with PyTorch's DistributedSampler.
    """

    def __init__(
        self, clips: int, batch_size: int, seed: int, order: samplers.Order | None = None
    ) -> None:
        self._own, self._batch_size, self._seed = -(-clips // launch.world_size()), batch_size, seed
        self._order = order or samplers.shuffled(clips)
        self.epoch = self.skip = 0

    def __len__(self) -> int:
        return -(-self._own // self._batch_size)

    @property
    def largest(self) -> list[tuple[int, int]]:
        """A batch as large as any, of whatever clips."""
        return [(0, 0)] * self._batch_size

    @property
    def clips(self) -> int:
        """The number of clips of an epoch, those of all processes."""
        return self._own * launch.world_size()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self._order(np.random.default_rng((self._seed, 0, self.epoch)))
        own = np.resize(order, self.clips)[launch.rank() :: launch.world_size()]
        for start in range(self.skip * self._batch_size, self._own, self._batch_size):
            keys = own[start : start + self._batch_size]
            yield [(self.epoch, int(index)) for index in keys]


def equal_parts(items: list[Item], most: int, shares: int = 1) -> list[list[Item]]:
    """Divide items, in their order, into equal parts of up to `most`, so many for each share."""
    if not items:
        return []
    rounds = -(-len(items) // (most * shares))
    size = -(-len(items) // (rounds * shares))
    return [items[start : start + size] for start in range(0, len(items), size)]


def equal_batches(lengths: Sequence[int], most: Callable[[int], int]) -> list[list[int]]:
    """Return the indices of consecutive clips of one length, in batches of `most(length)`."""
    batches: list[list[int]] = []
    for length, group in groupby(range(len(lengths)), lengths.__getitem__):
        batches += equal_parts(list(group), most(length))
    return batches


def readers(spec: Any) -> int:
    """Return how many processes read frames, as dataset.workers and the machine say; 0: none."""
    return min(spec.dataset.workers, os.cpu_count() or 1)


def load(
    clips: TrainingClips | FixedClips, batches: TrainingBatches | list[list[int]], workers: int
) -> Loader:
    """Return the loader of clips."""
    if isinstance(batches, TrainingBatches):
        return Loader(clips, batches, batches.largest, workers)
    lengths = clips.lengths
    largest = max(batches, key=lambda keys: len(keys) * lengths[keys[0]], default=[])
    return Loader(clips, batches, largest, workers)
