"""Videos as folders of frames, and the clips that loaders make of them.

The layout is TAO's: <root>/<class>/<video>/rgb/<frame>.png, for inference <root>/<video>/rgb.
Optical flow lies beside it, in u (motion to the right) and v (downwards): pairs of grey images.
"""

import logging
import mmap
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from actionrec.errors import InputError
from actionrec.native import sampling, streams, transforms

log = logging.getLogger(__name__)

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")
CACHE_BYTES = 2**30  # of resized frames, per dataset and stream


@dataclass(frozen=True)
class Video:
    """A folder of images: `size` is the (width, height) of the first, `label` the class id.

    `frames` are the files in rgb, `flow` those in u and in v; a stream that is not asked for has
    none.
    """

    folder: Path
    frames: tuple[str, ...]
    size: tuple[int, int]
    label: int = -1
    flow: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """The number of frames that clips are made of: where flow is seen, those that have it."""
        return len(self.flow or self.frames)


def list_classes(
    root: Path, labels: Mapping[str, int], where: str, model_type: str = "rgb"
) -> list[Video]:
    """Return the videos under <root>/<class>, by class id and name.

    `where` is the spec's key for `root`; `model_type` says whether frames ("rgb"), flow ("of") or
    both ("joint") are needed. Raises `InputError` for stray files, a class that is not in the
    label map, folders without frames or flow, flow that is not in pairs, and an empty root.
    """
    classes = {folder.name: folder for folder in _subfolders(root, where)}
    for name, folder in classes.items():
        if name not in labels:
            raise InputError(
                "A class folder is not in dataset.label_map.",
                where=folder,
                found=name,
                allowed=labels,
            )
    missing = [name for name in labels if name not in classes]
    if missing and classes:
        log.warning("%s has no folder of class %s", root, ", ".join(missing))
    videos = [
        _video(folder, model_type, label)
        for name, label in sorted(labels.items(), key=lambda item: item[1])
        if name in classes
        for folder in _subfolders(classes[name], where)
    ]
    return _some(videos, root, where)


def list_videos(root: Path, where: str, model_type: str = "rgb") -> list[Video]:
    """Return the videos <root>/<video>, by name; errors as in `list_classes`."""
    return _some([_video(folder, model_type) for folder in _subfolders(root, where)], root, where)


def _some(videos: list[Video], root: Path, where: str) -> list[Video]:
    if not videos:
        raise InputError("The folder holds no videos.", where=f"spec: {where}", found=root)
    return videos


def _subfolders(folder: Path, where: str) -> list[Path]:
    if not folder.is_dir():
        raise InputError("The folder does not exist.", where=f"spec: {where}", found=folder)
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    for entry in entries:
        if not entry.is_dir():
            raise InputError(
                "There is a stray file or broken link among the folders of videos.",
                where=f"spec: {where}",
                found=entry,
                fix="remove it",
            )
    return entries


def _video(folder: Path, model_type: str, label: int = -1) -> Video:
    frames = () if model_type == "of" else _images(folder, "rgb", "frames")
    flow = () if model_type == "rgb" else _flow(folder)
    if frames and len(frames) < len(flow):
        raise InputError(
            "A video has more flow than frames.",
            where=folder,
            found=f"{len(frames)} images in rgb, {len(flow)} in u",
            fix="extract the video's flow again, from these frames",
        )
    if frames:
        size = _image_size(folder / "rgb" / frames[0], "RGB")
    else:
        size = _image_size(folder / "u" / flow[0], "L")
    return Video(folder, frames, size, label, flow)


def _flow(folder: Path) -> tuple[str, ...]:
    u, v = (_images(folder, part, "flow") for part in ("u", "v"))
    if len(u) != len(v):
        raise InputError(
            "The flow of a video is not in pairs.",
            where=folder,
            found=f"{len(u)} images in u, {len(v)} in v",
            fix="extract the video's flow again",
        )
    for first, second in zip(u, v, strict=True):
        if first != second:
            raise InputError(
                "The two images of a pair of flow must have one name.",
                where=folder,
                found=f"u/{first} beside v/{second}",
                fix="extract the video's flow again",
            )
    return u


def _images(folder: Path, part: str, what: str) -> tuple[str, ...]:
    """Return the names of the images in a video's folder `part`, which hold its `what`."""
    images = folder / part
    if not images.is_dir():
        raise InputError(
            f"A video's folder has no {part} folder inside.",
            where=folder,
            allowed=[
                f"<class>/<video>/{part} for training and evaluation, <video>/{part} for inference"
            ],
            fix="make its flow first, or set model.model_type: rgb" if what == "flow" else None,
        )
    names = sorted(entry.name for entry in images.iterdir())
    if not names:
        raise InputError(f"A video has no {what}.", where=images)
    for name in names:
        if not name.lower().endswith(IMAGES):
            raise InputError(
                f"There is a stray file among the {what}.",
                where=images,
                found=name,
                allowed=IMAGES,
                fix="remove it",
            )
    return tuple(names)


def _image_size(path: Path, mode: str) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            transforms.refuse_mode(image, path, mode)
            return image.size
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError("A frame is no image.", where=path, found=error) from error


def refuse_small(size: int, batch: int, purpose: str, where: str) -> None:
    """Raise `InputError`, in TAO's words, if a dataset does not fill one batch."""
    if size < batch:
        raise InputError(
            f"Dataset size ({size}) is smaller than the total batch size ({batch}). "
            f"Not enough data for {purpose}.",
            where=f"spec: {where}",
            found=batch,
            fix=f"set {where} to {size} or less, or add videos",
        )


def warn_of_short(videos: Sequence[Video], spec: Any) -> None:
    """Log the videos that have fewer frames than one clip, which will repeat frames."""
    needed = max(streams(spec.model).values())
    if spec.model.sample_strategy == sampling.CONSECUTIVE:
        needed *= spec.model.sample_rate
    short = [f"{video.folder} ({video.length})" for video in videos if video.length < needed]
    if short:
        log.warning(
            "%d videos have fewer than %d frames, so their clips repeat frames: %s",
            len(short),
            needed,
            ", ".join(short),
        )


class FrameReader:
    """Reads one stream of videos, resized, and remembers as much as fits into `CACHE_BYTES`.

    The memory is shared with the worker processes that a loader forks, so that a frame is
    decoded once however many they are.
    """

    def __init__(
        self, videos: Sequence[Video], spec: Any, *, training: bool, stream: str = "rgb"
    ) -> None:
        self._videos, self._of = videos, stream == "of"
        self._sizes = [transforms.prepared_size(v.size, spec, training=training) for v in videos]
        shapes = [
            (len(v.flow), h, w, 2) if self._of else (len(v.frames), h, w, 3)
            for v, (w, h) in zip(videos, self._sizes, strict=True)
        ]
        ends = np.cumsum([np.prod(shape, dtype=np.int64) for shape in shapes])
        self._cached = int(np.searchsorted(ends, CACHE_BYTES, side="right"))
        self._pixels = _shared_arrays(shapes[: self._cached])
        self._ready = _shared_arrays([shape[:1] for shape in shapes[: self._cached]])
        self._lock = multiprocessing.get_context("fork").Lock()

    def read(self, video: int, ids: np.ndarray) -> np.ndarray:
        """Return the images `ids` of a video: (T, H, W, 3) RGB or (T, H, W, 2) flow, uint8."""
        if video >= self._cached:
            frames = {i: self._decode(video, i) for i in np.unique(ids)}
            return np.stack([frames[i] for i in ids])
        # The lock orders pixels before flags between processes, whatever the processor.
        with self._lock:
            ready = self._ready[video][ids]
        for i in np.unique(ids[ready == 0]):
            self._pixels[video][i] = self._decode(video, i)
        with self._lock:
            self._ready[video][ids] = 1
        return self._pixels[video][ids]

    def _decode(self, number: int, index: int) -> np.ndarray:
        video, size = self._videos[number], self._sizes[number]
        if not self._of:
            return transforms.read_frame(video.folder / "rgb" / video.frames[index], size)
        parts = (video.folder / part / video.flow[index] for part in ("u", "v"))
        return np.stack([transforms.read_frame(path, size, "L") for path in parts], axis=-1)


def _shared_arrays(shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Return zeroed uint8 arrays in memory that forked processes share (not /dev/shm)."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    memory = np.frombuffer(mmap.mmap(-1, max(1, sum(sizes))), np.uint8)
    parts = np.split(memory[: sum(sizes)], np.cumsum(sizes)[:-1]) if sizes else []
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


# What a dataset gives for one clip: of each stream the images (T, H, W, channels) uint8; the
# class id; the index of the video.
Clip = tuple[tuple[np.ndarray, ...], int, int]


@dataclass(frozen=True)
class Pair:
    """Clips of frames (N, T, H, W, 3) and, of the same videos, of flow (N, T, H, W, 2), uint8."""

    rgb: torch.Tensor
    of: torch.Tensor

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Pair":
        """Return the clips on a device."""
        return Pair(*(clips.to(device, non_blocking=non_blocking) for clips in self._both))

    def pin_memory(self) -> "Pair":
        """Return the clips in memory from which a GPU can fetch them."""
        return Pair(*(clips.pin_memory() for clips in self._both))

    @property
    def _both(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.rgb, self.of


class TrainingClips(Dataset):
    """Random clips: `clips_per_video` of each video in an epoch.

    An item's key is (epoch, index), and what is drawn depends on the seed and this key alone:
    not on the number of workers, nor on whether the training was interrupted.
    """

    def __init__(self, videos: Sequence[Video], spec: Any) -> None:
        self._videos, self._spec = videos, spec
        self._readers = _readers(videos, spec, training=True)

    def __len__(self) -> int:
        return len(self._videos) * self._spec.dataset.clips_per_video

    def __getitem__(self, key: tuple[int, int]) -> Clip | InputError:
        epoch, index = key
        number = index % len(self._videos)
        rng = np.random.default_rng((self._spec.train.seed, 1, epoch, index))
        model = self._spec.model
        video = self._videos[number]
        lengths = tuple(streams(model).values())
        ids = sampling.stream_training_ids(
            video.length, lengths, model.sample_strategy, model.sample_rate, rng
        )
        try:
            clip = _read(self._readers, number, ids)
            clip = transforms.augment_alike(clip, self._spec, rng)
        except InputError as error:  # a worker's exception would come with its traceback
            return error
        return clip, video.label, number


class FixedClips(Dataset):
    """The clips that videos are judged by; `mode` and `segments` as in `sampling.clip_ids`."""

    def __init__(
        self, videos: Sequence[Video], spec: Any, *, mode: str = "center", segments: int = 1
    ) -> None:
        self._videos, self._spec = videos, spec
        self._readers = _readers(videos, spec, training=False)
        model = spec.model
        self._items = [
            (number, ids)
            for number, video in enumerate(videos)
            for ids in sampling.stream_clip_ids(
                video.length,
                tuple(streams(model).values()),
                model.sample_strategy,
                model.sample_rate,
                mode=mode,
                segments=segments,
                whole=model.input_type == "3d",
            )
        ]

    def __len__(self) -> int:
        return len(self._items)

    @property
    def lengths(self) -> list[int]:
        """The number of images of each clip, in its first stream."""
        return [len(ids[0]) for _, ids in self._items]

    def __getitem__(self, index: int) -> Clip | InputError:
        number, ids = self._items[index]
        model = self._spec.model
        try:
            clip = _read(self._readers, number, ids)
        except InputError as error:
            return error
        if self._spec.dataset.augmentation_config.val_center_crop:
            size = (model.input_width, model.input_height)
            clip = tuple(transforms.centre_crop(images, size) for images in clip)
        return clip, self._videos[number].label, number


def _readers(videos: Sequence[Video], spec: Any, *, training: bool) -> list[FrameReader]:
    return [
        FrameReader(videos, spec, training=training, stream=stream)
        for stream in streams(spec.model)
    ]


def _read(
    readers: Sequence[FrameReader], video: int, ids: Sequence[np.ndarray]
) -> tuple[np.ndarray, ...]:
    return tuple(reader.read(video, i) for reader, i in zip(readers, ids, strict=True))


class TrainingBatches:
    """The batches of one epoch: all clips in an order drawn from the seed and the epoch.

    Set `epoch` before each pass; `skip` batches are left out at its start.
    """

    def __init__(self, clips: int, batch_size: int, seed: int) -> None:
        self._clips, self._batch_size, self._seed = clips, batch_size, seed
        self.epoch = self.skip = 0

    def __len__(self) -> int:
        return -(-self._clips // self._batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self._seed, 0, self.epoch)).permutation(self._clips)
        for start in range(self.skip * self._batch_size, self._clips, self._batch_size):
            keys = order[start : start + self._batch_size]
            yield [(self.epoch, int(index)) for index in keys]


def equal_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return the indices of consecutive clips of one length, in batches."""
    batches: list[list[int]] = []
    for index, length in enumerate(lengths):
        if batches and len(batches[-1]) < batch_size and lengths[batches[-1][0]] == length:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


Batch = tuple[torch.Tensor | Pair, torch.Tensor, list[int]]


def load(dataset: Dataset, batches: Any, spec: Any) -> "Loader":
    """Return an iterable of batches: clips, class ids, video indices.

    Clips are (N, T, H, W, 3) of frames or (N, T, H, W, 2) of flow, uint8, or a `Pair` of both.
    """
    workers = min(spec.dataset.workers, os.cpu_count() or 1)
    return Loader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
        generator=torch.Generator(),  # else each pass would draw from the network's generator
    )


class Loader(DataLoader):
    """A DataLoader that raises the `InputError` of a dataset as it was."""

    def __iter__(self) -> Iterator[Batch]:
        for batch in super().__iter__():
            if isinstance(batch, InputError):
                try:
                    raise batch
                finally:
                    del batch  # a cycle of error and frame would keep the workers alive
            yield batch


def _collate(items: list[Clip | InputError]) -> Batch | InputError:
    for item in items:
        if isinstance(item, InputError):
            return item
    clips, labels, numbers = zip(*items, strict=True)
    batch = [torch.from_numpy(np.stack(images)) for images in zip(*clips, strict=True)]
    clips = Pair(*batch) if len(batch) == 2 else batch[0]
    return clips, torch.tensor(labels), list(numbers)
