"""The clips of videos: random ones for training, fixed ones for validation and prediction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from actionrec.errors import InputError
from actionrec.native.data import crops, frame_sampling, transforms
from actionrec.native.data.batch import ClipInfo
from actionrec.native.data.dataloader import DataLoader
from actionrec.native.data.frame_cache import FrameCache
from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.samplers import TrainBatchSampler
from actionrec.native.data.training_draws import TrainingDraws
from actionrec.native.data.videos import Video
from actionrec.native.streams import CHANNELS, I3D_MIN_FRAMES, stream_lengths
from actionrec.utils.processes import usable_cores
from actionrec.utils.text import count

MAX_SCORING_WORKERS = 32  # more take longer to start than they save


@dataclass(frozen=True)
class ClipSelection:
    """Which clips a video is predicted from: `mode` and `segments` as in `frame_sampling`."""

    mode: str = "center"
    segments: int = 1


class TrainDataset:
    """Random clips: `clips_per_video` of each video in an epoch.

    A key is (epoch, clip). What is drawn for it depends on the seed and the key alone: not on the
    number of workers, nor on whether the training was interrupted.
    """

    def __init__(self, videos: Sequence[Video], spec: Any, memory: FrameMemory) -> None:
        self._videos = videos
        self._model, self._augmentation = _plain_sections(spec)
        self._lengths = stream_lengths(self._model)
        self._sizes = _prepared_sizes(videos, self._model, self._augmentation, training=True)
        self._draws = TrainingDraws(
            [video.length for video in videos],
            self._model,
            self._lengths.values(),
            seed=spec.train.seed,
            clips_per_video=spec.dataset.clips_per_video,
            epochs=spec.train.num_epochs,
        )
        # A cache knows the draws, not this dataset: in a cycle its memory would outlast both.
        self._caches = {
            stream: FrameCache(
                videos, stream, self._sizes, memory, upcoming=partial(self._draws.upcoming, place)
            )
            for place, stream in enumerate(self._lengths)
        }

    def __len__(self) -> int:
        """The number of clips of an epoch."""
        return len(self._draws)

    @property
    def nbytes(self) -> int:
        """The bytes of all decoded frames of all videos."""
        return sum(cache.nbytes for cache in self._caches.values())

    def shapes(self, key: tuple[int, int]) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of each stream of a clip, (T, H, W, channels)."""
        return _clip_shapes(self._model, self._lengths)

    def video_of(self, key: tuple[int, int]) -> int:
        """Return the index of the video that a clip is cut from."""
        return self._draws.video_of(key)

    def write_clip(self, key: tuple[int, int], streams: Mapping[str, np.ndarray]) -> ClipInfo:
        """Draw a clip, and write its pixels into arrays of its `shapes`."""
        self._draws.epoch, index = key[0], self.video_of(key)
        ids, rng = self._draws.draw(key)
        size, augmentation = self._sizes[index], self._augmentation
        crop, flip = transforms.draw_augmentation(size, self._model, augmentation, rng)
        _write_streams(self._caches, index, ids, crop, streams)
        return ClipInfo(self._videos[index].label, flip, index)

    def read_ahead(self) -> bool:
        """Decode a frame that later clips need; tell if there was one."""
        return any(cache.read_ahead() for cache in self._caches.values())


class EvalDataset:
    """The fixed clips by which videos are validated or predicted.

    A key is a clip's index; clips come in the order of the videos. Frames are kept for the next
    pass, or, if this is the `only_pass`, forgotten with a video's last clip.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        spec: Any,
        memory: FrameMemory,
        selection: ClipSelection | None = None,
        *,
        only_pass: bool = False,
    ) -> None:
        self._videos, self._only_pass = videos, only_pass
        self._model, augmentation = _plain_sections(spec)
        model, lengths = self._model, stream_lengths(self._model)
        selection = selection or ClipSelection()
        sizes = _prepared_sizes(videos, model, augmentation, training=False)
        self._clips = [
            (index, ids)
            for index, video in enumerate(videos)
            for ids in frame_sampling.stream_clip_ids(
                video.length,
                tuple(lengths.values()),
                model.sample_strategy,
                model.sample_rate,
                mode=selection.mode,
                segments=selection.segments,
                whole=model.input_type == "3d",
            )
        ]
        self._keys: list[list[int]] = [[] for _ in videos]  # of each video
        for key, (index, _) in enumerate(self._clips):
            self._keys[index].append(key)
        together = partial(_drawn_together, self._clips, self._keys)
        self._caches = {
            stream: FrameCache(videos, stream, sizes, memory, upcoming=partial(together, place))
            for place, stream in enumerate(lengths)
        }
        # Counted in each worker on its own, which works because a video belongs to one of them.
        self._clips_left = list(map(len, self._keys))
        size = (model.input_width, model.input_height)
        cropped = augmentation.val_center_crop
        self._crop = crops.centre_crop(size) if cropped else crops.no_crop
        if model.backbone == "i3d":
            self._check_lengths()

    def _check_lengths(self) -> None:
        """Raise `InputError` if a clip, which may be a whole video, is too short for I3D."""
        for index, ids in self._clips:
            if len(ids[0]) < I3D_MIN_FRAMES:
                raise InputError(
                    "A whole video is too short for the backbone i3d.",
                    where=self._videos[index].folder,
                    found=count(len(ids[0]), "frame"),
                    allowed=f"{I3D_MIN_FRAMES} or more",
                    fix="leave the video out, or use the videos' centre clips (mode center)",
                )

    def __len__(self) -> int:
        """The number of clips of all videos."""
        return len(self._clips)

    @property
    def lengths(self) -> list[int]:
        """The number of frames of each clip, in its first stream."""
        return [len(ids[0]) for _, ids in self._clips]

    def clips_of(self, video: int) -> list[int]:
        """Return the keys of the clips of a video, by its index."""
        return self._keys[video]

    def frame_ids(self, key: int) -> dict[str, list[int]]:
        """Return which frames a clip consists of in each stream, counted from 0."""
        ids = self._clips[key][1]
        return {name: of.tolist() for name, of in zip(self._caches, ids, strict=True)}

    def shapes(self, key: int) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of each stream of a clip, (T, H, W, channels)."""
        lengths = map(len, self._clips[key][1])
        return _clip_shapes(self._model, dict(zip(self._caches, lengths, strict=True)))

    def video_of(self, key: int) -> int:
        """Return the index of the video that a clip is cut from."""
        return self._clips[key][0]

    def write_clip(self, key: int, streams: Mapping[str, np.ndarray]) -> ClipInfo:
        """Write the pixels of a clip into arrays of its `shapes`."""
        index, ids = self._clips[key]
        _write_streams(self._caches, index, ids, self._crop, streams)
        self._clips_left[index] -= 1
        if self._only_pass and not self._clips_left[index]:
            for cache in self._caches.values():
                cache.forget(index)
        return ClipInfo(self._videos[index].label, False, index)

    def read_ahead(self) -> bool:
        """Do nothing: each pass draws the same frames, and all of them."""
        return False


def _drawn_together(
    clips: Sequence[tuple[int, frame_sampling.StreamIds]],
    keys: Sequence[Sequence[int]],
    place: int,
    video: int,
) -> Iterator[np.ndarray]:
    """Yield the frames of all clips of a video at once; `place` is that of the stream."""
    yield np.concatenate([clips[key][1][place] for key in keys[video]])


def _plain_sections(spec: Any) -> tuple[Any, Any]:
    """Return the sections model and augmentation_config as dataclasses, which are fast to read."""
    model = OmegaConf.to_object(spec.model)
    return model, OmegaConf.to_object(spec.dataset.augmentation_config)


def _prepared_sizes(
    videos: Sequence[Video], model: Any, augmentation: Any, *, training: bool
) -> list[tuple[int, int]]:
    return [
        crops.prepared_size(video.size, model, augmentation, training=training) for video in videos
    ]


def _clip_shapes(model: Any, lengths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    size = (model.input_height, model.input_width)
    return {stream: (length, *size, CHANNELS[stream]) for stream, length in lengths.items()}


def _write_streams(
    caches: Mapping[str, FrameCache],
    video: int,
    ids: Sequence[np.ndarray],
    crop: crops.Crop,
    streams: Mapping[str, np.ndarray],
) -> None:
    """Write the frames `ids` of each stream of a video, cropped, into the streams of a clip."""
    for (stream, cache), stream_ids in zip(caches.items(), ids, strict=True):
        frames = cache.load(video, stream_ids)
        # A crop that is a view of all frames is copied in one operation. That is most of the work
        # of a training whose frames are all decoded.
        if frames is not None and isinstance(crop, transforms.CropWindow):
            np.copyto(streams[stream], crop(frames)[stream_ids])
            continue
        for position, frame in enumerate(cache.read(video, stream_ids)):
            streams[stream][position] = crop(frame)


def num_workers(spec: Any) -> int:
    """Return how many processes read frames: dataset.workers, but no more than there are cores."""
    return min(spec.dataset.workers, usable_cores())


def num_scoring_workers(spec: Any, videos: int, processes: int) -> int:
    """Return how many processes read frames for a GPU that scores each of some `videos` once.

    It waits for nothing else, so they are as many as cores, divided among the machine's
    `processes`; none if dataset.workers is 0.
    """
    if not spec.dataset.workers:
        return 0
    return min(videos, max(1, usable_cores() // processes), MAX_SCORING_WORKERS)


def train_dataloader(
    dataset: TrainDataset, sampler: TrainBatchSampler, num_workers: int, timeout: float = 0.0
) -> DataLoader:
    """Return the loader of the batches that a sampler draws, one epoch in each pass."""
    return DataLoader(dataset, sampler, sampler.largest_batch, num_workers, timeout)


def eval_dataloader(
    dataset: EvalDataset, batches: Sequence[Sequence[int]], num_workers: int, timeout: float = 0.0
) -> DataLoader:
    """Return the loader of the given batches, each a list of clips of one length."""
    lengths = dataset.lengths
    largest = max(batches, key=lambda keys: len(keys) * lengths[keys[0]], default=[])
    return DataLoader(dataset, batches, largest, num_workers, timeout)
