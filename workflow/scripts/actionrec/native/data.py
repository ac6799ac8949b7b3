"""Videos as folders of frames, and the clips that loaders make of them.

The layout is TAO's: <root>/<class>/<video>/rgb/<frame>.png; for inference <root>/<video>/rgb.
"""

import logging
import mmap
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from actionrec.errors import InputError
from actionrec.native import balancing, sampling, transforms

log = logging.getLogger(__name__)

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")
CACHE_BYTES = 2**30  # of resized frames, per dataset


@dataclass(frozen=True)
class Video:
    """A folder of frames: `size` is the (width, height) of the first, `label` the class id."""

    folder: Path
    frames: tuple[str, ...]
    size: tuple[int, int]
    label: int = -1


def list_classes(root: Path, labels: Mapping[str, int], where: str) -> list[Video]:
    """Return the videos under <root>/<class>, by class id and name.

    `where` is the spec's key for `root`. Raises `InputError` for stray files, a class that is
    not in the label map, folders without frames and an empty root.
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
        _video(folder, label)
        for name, label in sorted(labels.items(), key=lambda item: item[1])
        if name in classes
        for folder in _subfolders(classes[name], where)
    ]
    return _some(videos, root, where)


def list_videos(root: Path, where: str) -> list[Video]:
    """Return the videos <root>/<video>, by name; errors as in `list_classes`."""
    return _some([_video(folder) for folder in _subfolders(root, where)], root, where)


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


def _video(folder: Path, label: int = -1) -> Video:
    rgb = folder / "rgb"
    if not rgb.is_dir():
        raise InputError(
            "A video's folder has no rgb folder inside.",
            where=folder,
            allowed=["<class>/<video>/rgb for training and evaluation, <video>/rgb for inference"],
        )
    frames = sorted(entry.name for entry in rgb.iterdir())
    if not frames:
        raise InputError("A video has no frames.", where=rgb)
    for frame in frames:
        if not frame.lower().endswith(IMAGES):
            raise InputError(
                "There is a stray file among the frames.",
                where=rgb,
                found=frame,
                allowed=IMAGES,
                fix="remove it",
            )
    return Video(folder, tuple(frames), _image_size(rgb / frames[0]), label)


def _image_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            transforms.refuse_mode(image, path)
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
    needed = spec.model.rgb_seq_length
    if spec.model.sample_strategy == sampling.CONSECUTIVE:
        needed *= spec.model.sample_rate
    short = [
        f"{video.folder} ({len(video.frames)})" for video in videos if len(video.frames) < needed
    ]
    if short:
        log.warning(
            "%d videos have fewer than %d frames, so their clips repeat frames: %s",
            len(short),
            needed,
            ", ".join(short),
        )


def warn_of_rare(videos: Sequence[Video], spec: Any) -> None:
    """Log the classes that give fewer clips in an epoch than a batch holds, with the numbers."""
    counts = Counter(video.label for video in videos)
    clips, batch = spec.dataset.clips_per_video, spec.dataset.batch_size
    rare = [
        f"{name}: {counts[label]} videos, {counts[label] * clips} clips"
        for name, label in spec.dataset.label_map.items()
        if counts[label] * clips < batch
    ]
    if rare:
        log.warning(
            "%d of %d classes are rarer than a batch of %d clips, so many a batch will lack them: "
            "%s. More videos, a smaller dataset.batch_size or a larger dataset.clips_per_video "
            "help, and native.class_balanced where other classes have more.",
            len(rare),
            len(spec.dataset.label_map),
            batch,
            "; ".join(rare),
        )


class FrameReader:
    """Reads frames of videos, resized, and remembers as many as fit into `CACHE_BYTES`.

    The memory is shared with the worker processes that a loader forks, so that a frame is
    decoded once however many they are.
    """

    def __init__(self, videos: Sequence[Video], spec: Any, *, training: bool) -> None:
        self._videos = videos
        self._sizes = [transforms.prepared_size(v.size, spec, training=training) for v in videos]
        shapes = [(len(v.frames), h, w, 3) for v, (w, h) in zip(videos, self._sizes, strict=True)]
        ends = np.cumsum([np.prod(shape, dtype=np.int64) for shape in shapes])
        self._cached = int(np.searchsorted(ends, CACHE_BYTES, side="right"))
        self._pixels = _shared_arrays(shapes[: self._cached])
        self._ready = _shared_arrays([shape[:1] for shape in shapes[: self._cached]])
        self._lock = multiprocessing.get_context("fork").Lock()

    def read(self, video: int, ids: np.ndarray) -> np.ndarray:
        """Return the frames `ids` of a video, (T, H, W, 3) uint8."""
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

    def _decode(self, video: int, frame: int) -> np.ndarray:
        path = self._videos[video].folder / "rgb" / self._videos[video].frames[frame]
        return transforms.read_frame(path, self._sizes[video])


def _shared_arrays(shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Return zeroed uint8 arrays in memory that forked processes share (not /dev/shm)."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    memory = np.frombuffer(mmap.mmap(-1, max(1, sum(sizes))), np.uint8)
    parts = np.split(memory[: sum(sizes)], np.cumsum(sizes)[:-1]) if sizes else []
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


# What a dataset gives for one clip: frames (T, H, W, 3) uint8, class id, index of the video.
Clip = tuple[np.ndarray, int, int]


class TrainingClips(Dataset):
    """Random clips: `clips_per_video` of each video in an epoch.

    An item's key is (epoch, index), and what is drawn depends on the seed and this key alone:
    not on the number of workers, nor on whether the training was interrupted.
    """

    def __init__(self, videos: Sequence[Video], spec: Any) -> None:
        self._videos, self._spec = videos, spec
        self._reader = FrameReader(videos, spec, training=True)

    def __len__(self) -> int:
        return len(self._videos) * self._spec.dataset.clips_per_video

    def __getitem__(self, key: tuple[int, int]) -> Clip | InputError:
        epoch, index = key
        number = index % len(self._videos)
        rng = np.random.default_rng((self._spec.train.seed, 1, epoch, index))
        model = self._spec.model
        video = self._videos[number]
        ids = sampling.training_ids(
            len(video.frames), model.rgb_seq_length, model.sample_strategy, model.sample_rate, rng
        )
        try:
            clip = transforms.augment(self._reader.read(number, ids), self._spec, rng)
        except InputError as error:  # a worker's exception would come with its traceback
            return error
        return clip, video.label, number


class FixedClips(Dataset):
    """The clips that videos are judged by; `mode` and `segments` as in `sampling.clip_ids`."""

    def __init__(
        self, videos: Sequence[Video], spec: Any, *, mode: str = "center", segments: int = 1
    ) -> None:
        self._videos, self._spec = videos, spec
        self._reader = FrameReader(videos, spec, training=False)
        model = spec.model
        self._items = [
            (number, ids)
            for number, video in enumerate(videos)
            for ids in sampling.clip_ids(
                len(video.frames),
                model.rgb_seq_length,
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
        """The number of frames of each clip."""
        return [len(ids) for _, ids in self._items]

    def __getitem__(self, index: int) -> Clip | InputError:
        number, ids = self._items[index]
        model = self._spec.model
        try:
            clip = self._reader.read(number, ids)
        except InputError as error:
            return error
        if self._spec.dataset.augmentation_config.val_center_crop:
            clip = transforms.centre_crop(clip, (model.input_width, model.input_height))
        return clip, self._videos[number].label, number


class TrainingBatches:
    """The batches of one epoch: clips in an order drawn from the seed and the epoch.

    Set `epoch` before each pass; `skip` batches are left out at its start.
    """

    def __init__(
        self, clips: int, batch_size: int, seed: int, order: balancing.Order | None = None
    ) -> None:
        self._clips, self._batch_size, self._seed = clips, batch_size, seed
        self._order = order or balancing.shuffled(clips)
        self.epoch = self.skip = 0

    def __len__(self) -> int:
        return -(-self._clips // self._batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self._order(np.random.default_rng((self._seed, 0, self.epoch)))
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


Batch = tuple[torch.Tensor, torch.Tensor, list[int]]


def load(dataset: Dataset, batches: Any, spec: Any) -> "Loader":
    """Return an iterable of batches: clips (N, T, H, W, 3) uint8, class ids, video indices."""
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
    return torch.from_numpy(np.stack(clips)), torch.tensor(labels), list(numbers)
