"""Videos as folders of frames, in TAO's layout.

Frames are in <root>/<class>/<video>/rgb/<frame>.png, for inference in <root>/<video>/rgb, or they
stay in the video file that rgb/video.json refers to (`actionrec.frames.references`). Optical flow
is next to rgb, as pairs of grey images in u (motion to the right) and v (downwards).
"""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from actionrec.errors import InputError
from actionrec.frames.references import has_reference, read_reference
from actionrec.native.data import frame_sampling, image_io
from actionrec.native.streams import stream_lengths
from actionrec.utils.text import count

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

LAYOUT = "name a folder of <class>/<video>/rgb, for inference of <video>/rgb"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Video:
    """A folder of frames: `size` is the (width, height) of the first, `label` the class id.

    `frames` are the file names in rgb, or there are as many as `decoded` in the video that rgb
    refers to; `flow` are the file names in u and in v. A stream that the network does not see is
    empty. Without a label `label` is -1.
    """

    folder: Path
    frames: tuple[str, ...]
    size: tuple[int, int]
    label: int = -1
    flow: tuple[str, ...] = ()
    decoded: int = 0

    @property
    def length(self) -> int:
        """The number of frames that clips are cut from: those with flow, if the network sees it."""
        return self.count("of" if self.flow else "rgb")

    def count(self, stream: str) -> int:
        """Return the number of frames of the stream "rgb" or "of"."""
        return len(self.flow) if stream == "of" else self.decoded or len(self.frames)

    def images(self, stream: str) -> tuple[str, ...]:
        """Return the files of the stream "rgb" or "of", none if its frames stay in the video."""
        return self.flow if stream == "of" else self.frames


def list_labelled_videos(
    root: Path, labels: Mapping[str, int], where: str, model_type: str = "rgb"
) -> list[Video]:
    """Return the videos <root>/<class>/<video>, sorted by class id and name.

    `labels` is the spec's label map, `where` its key for `root`; `model_type` says whether frames
    ("rgb"), flow ("of") or both ("joint") are needed. Raises `InputError` for stray files, a class
    that is not in the label map, a video without frames or flow, flow that is not in pairs, and an
    empty root.
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
    return _not_empty(videos, root, where)


def list_videos(root: Path, where: str, model_type: str = "rgb") -> list[Video]:
    """Return the videos <root>/<video>, sorted by name; errors as in `list_labelled_videos`."""
    videos = [_video(folder, model_type) for folder in _subfolders(root, where)]
    return _not_empty(videos, root, where)


def _not_empty(videos: list[Video], root: Path, where: str) -> list[Video]:
    if not videos:
        raise InputError(
            "The folder holds no videos.", where=f"spec: {where}", found=root, fix=LAYOUT
        )
    return videos


def _subfolders(folder: Path, where: str) -> list[Path]:
    if not folder.is_dir():
        raise InputError(
            "The folder does not exist.", where=f"spec: {where}", found=folder, fix=LAYOUT
        )
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
    flow = () if model_type == "rgb" else _flow(folder)
    if model_type == "of":
        return Video(folder, (), _image_size(folder / "u" / flow[0], "L"), label, flow)
    if has_reference(folder / "rgb"):
        import actionrec.frames.decoder.video  # noqa: F401 -- the workers, forks, need it loaded

        reference = read_reference(folder / "rgb")
        size = reference.width, reference.height
        video = Video(folder, (), size, label, flow, decoded=reference.count)
    else:
        frames = _images(folder, "rgb", "frames")
        size = _image_size(folder / "rgb" / frames[0], "RGB")
        video = Video(folder, frames, size, label, flow)
    if video.count("rgb") < len(flow):
        raise InputError(
            "A video has more flow than frames.",
            where=folder,
            found=f"{count(video.count('rgb'), 'image')} in rgb, {len(flow)} in u",
            fix="extract the video's flow again, from these frames",
        )
    return video


def _flow(folder: Path) -> tuple[str, ...]:
    u, v = (_images(folder, part, "flow") for part in ("u", "v"))
    if len(u) != len(v):
        raise InputError(
            "The flow of a video is not in pairs.",
            where=folder,
            found=f"{count(len(u), 'image')} in u, {len(v)} in v",
            fix="extract the video's flow again",
        )
    for first, second in zip(u, v, strict=True):
        if first != second:
            raise InputError(
                "The two images of a pair of flow must have one name.",
                where=folder,
                found=f"u/{first} next to v/{second}",
                fix="extract the video's flow again",
            )
    return u


def _images(folder: Path, part: str, what: str) -> tuple[str, ...]:
    """Return the names of the images in a video's folder `part`, which hold its `what`."""
    files = folder / part
    if not files.is_dir():
        raise InputError(
            f"A video's folder has no {part} folder inside.",
            where=folder,
            allowed=f"<class>/<video>/{part} for training and evaluation, "
            f"<video>/{part} for inference",
            fix="make its flow first, or set model.model_type: rgb" if what == "flow" else None,
        )
    with os.scandir(files) as entries:
        is_file = {entry.name: entry.is_file() for entry in entries}  # no system call, mostly
    names = sorted(is_file)
    if not names:
        raise InputError(
            f"A video has no {what}.",
            where=files,
            fix="make them again, or remove the video's folder",
        )
    for name in names:
        if not is_file[name]:
            raise InputError(
                f"Among the {what} there is a pipe, a folder or a broken link.",
                where=files,
                found=name,
                fix="remove it, or make the frames again",
            )
        if not name.lower().endswith(SUFFIXES):
            raise InputError(
                f"There is a stray file among the {what}.",
                where=files,
                found=name,
                allowed=", ".join(SUFFIXES),
                fix="remove it",
            )
    return tuple(names)


def _image_size(path: Path, mode: str) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            image_io.check_mode(image, path, mode)
            return image.size
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(
            "A frame is not an image.",
            where=path,
            found=error,
            fix="make the video's frames again, or remove its folder",
        ) from error


def check_dataset_size(
    size: int, batch_size: int, purpose: str, where: str, world_size: int = 1
) -> None:
    """Raise `InputError`, with TAO's message, if `size` clips do not fill a batch of each rank.

    `where` is the spec's key for the batch size, `purpose` what the dataset is for.
    """
    total = batch_size * world_size
    if size < total:
        raise InputError(
            f"Dataset size ({size}) is smaller than the total batch size ({total}). "
            f"Not enough data for {purpose}.",
            where=f"spec: {where}",
            found=batch_size,
            fix=f"set {where} to {size // world_size} or less, or add videos",
        )


def warn_of_short_videos(videos: Sequence[Video], spec: "DictConfig") -> None:
    """Log the videos that have fewer frames than a clip spans, whose clips repeat frames."""
    needed = max(stream_lengths(spec.model).values())
    if spec.model.sample_strategy == frame_sampling.CONSECUTIVE:
        needed *= spec.model.sample_rate
    short = [f"{video.folder} ({video.length})" for video in videos if video.length < needed]
    if short:
        log.warning(
            "%s fewer than %d frames, so their clips repeat frames: %s",
            count(len(short), "video has", "videos have"),
            needed,
            ", ".join(short),
        )


def warn_of_rare_classes(videos: Sequence[Video], spec: "DictConfig") -> None:
    """Log the classes that have fewer clips in an epoch than there are in a batch."""
    counts = Counter(video.label for video in videos)
    clips, batch_size = spec.dataset.clips_per_video, spec.dataset.batch_size
    rare = [
        f"{name}: {count(counts[label], 'video')}, {count(counts[label] * clips, 'clip')}"
        for name, label in spec.dataset.label_map.items()
        if counts[label] * clips < batch_size
    ]
    if rare:
        log.warning(
            "%d of %d classes are rarer than a batch of %d clips, so many batches will lack them: "
            "%s. More videos, a smaller dataset.batch_size or a larger dataset.clips_per_video "
            "help, and native.class_balanced where other classes have more.",
            len(rare),
            len(spec.dataset.label_map),
            batch_size,
            "; ".join(rare),
        )
