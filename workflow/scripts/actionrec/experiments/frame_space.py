"""Estimate the disk space that the frames of a dataset will take, from its videos where they are.

How many bytes a frame takes depends on the footage: as PNG, a still drawing takes a tenth of what
real footage takes, and a frame of 1920x1080 twenty times as much as one of 320x240. So some videos
of each class give one frame each, which is encoded as all will be. On three sets of real videos, of
0.8, 6.6 and 18.2 GB as PNG, the estimate was 2 % to 10 % off.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrec.errors import InputError
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.encoders import ImageFormat, make_encoder, resize
from actionrec.frames.segments import FrameSource, read_frame_sources
from actionrec.frames.videos import is_video
from actionrec.utils.text import count

if TYPE_CHECKING:
    import numpy as np

# Measured on HMDB51: 51 classes, 2.1 GB of videos, frames 240 high and 320 to 560 wide.
_HMDB51_CLASS = {"png": 1.6e9, "jpg": 0.33e9}  # bytes of a class's frames, on average
_HMDB51_PIXELS = 96_938  # of a frame, on average
_BYTES_PER_PIXEL = {"png": 1.65, "jpg": 0.35}  # of its frames, on average

_SAMPLED = 100  # videos of all classes together, 20 to 100 ms each
_SAMPLED_OF_CLASS = 5
# Where a frame is taken: the very first may be black, and later ones cost the decoding of what lies
# before them.
_SECONDS_IN = 1.5


@dataclass(frozen=True)
class Estimate:
    """The bytes that frames will take, what that rests on, and whether that is their videos."""

    size: float
    basis: str
    measured: bool = True


def estimate(dataset: Mapping[str, Any], frames: Mapping[str, Any], block: int) -> Estimate:
    """Return the space that the frames will take which are not there yet.

    `dataset` and `frames` are sections of the configuration, with `size` as (width, height) or
    None. A file takes whole blocks of the file system, of `block` bytes.
    """
    classes = [cls for cls in dataset["classes"] if not frames_table(dataset, cls).exists()]
    if dataset["source"] == "demo" or not classes:
        return Estimate(0.0, "all are there" if not classes else "the demo is small")
    form, size = frames["format"], frames.get("size")
    image_format = ImageFormat(
        form, frames["encoder"], frames["quality"], tuple(size) if size else None
    )
    limit = min(_SAMPLED_OF_CLASS, max(1, _SAMPLED // len(classes)))
    known: dict[str, float] = {}
    sampled = 0
    for cls in classes:
        weights = _weights(_sources(dataset, cls))
        sizes = _measure(_spread(weights, limit), image_format, block)
        if sizes:
            sampled += len(sizes)
            share = sum(weights[source] for source in sizes) / sum(weights.values())
            known[cls] = sum(sizes.values()) / share
    if not known:
        average = _HMDB51_CLASS[form] * (math.prod(size) / _HMDB51_PIXELS if size else 1)
        basis = "what HMDB51's classes took: no video is here yet"
        return Estimate(average * len(classes), basis, measured=False)
    basis = f"measured on {count(sampled, 'video')}"
    if others := len(classes) - len(known):
        basis += f"; {count(others, 'class')} without a video yet counted like the others"
    return Estimate(sum(known.values()) * len(classes) / len(known), basis)


def frames_table(dataset: Mapping[str, Any], cls: str) -> Path:
    """Return the table of a class's frames, which is there once they are."""
    return _table(dataset, "frames", cls)


def _table(dataset: Mapping[str, Any], kind: str, cls: str) -> Path:
    return Path("results", dataset["name"], "tables", kind, f"{cls}.tsv")


def _sources(dataset: Mapping[str, Any], cls: str) -> list[FrameSource]:
    """Return the videos of a class, or the segments of them, that are here now."""
    if dataset["source"] in ("table", "shad"):
        crops = _table(dataset, "crops", cls)
        try:
            table = _table(dataset, "videos", cls)
            return list(read_frame_sources(table, crops if crops.exists() else None).values())
        except InputError:  # not listed yet, or no longer there
            return []
    videos = Path("resources", dataset["name"], "videos")
    if dataset["source"] == "folder":
        videos = Path(dataset["path"]).expanduser()
    folder = videos / cls
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [FrameSource(p, p.name) for p in paths if is_video(p.name) and p.is_file()]


def _weights(sources: Sequence[FrameSource]) -> dict[FrameSource, float]:
    """Return for each source what the space of its frames grows with, in the same unit for all."""
    if all(source.crops for source in sources):
        return {source: _pixels(source) for source in sources}
    if all(source.whole for source in sources):
        return {source: source.path.stat().st_size for source in sources}
    if all(source.end < math.inf for source in sources):
        return {source: source.end - source.start for source in sources}
    return dict.fromkeys(sources, 1.0)


def _pixels(source: FrameSource) -> int:
    return sum((crop.xmax - crop.xmin) * (crop.ymax - crop.ymin) for crop in source.crops)


def _spread(weights: Mapping[FrameSource, float], limit: int) -> list[FrameSource]:
    """Return at most `limit` of the sources, evenly spread from light to heavy."""
    ordered = sorted(weights, key=lambda source: (weights[source], source.file, source.start))
    number = min(limit, len(ordered))
    return [ordered[(2 * index + 1) * len(ordered) // (2 * number)] for index in range(number)]


def _measure(
    sources: Sequence[FrameSource], image_format: ImageFormat, block: int
) -> dict[FrameSource, float]:
    """Return the bytes that the frames of each source will take; bad videos are left out."""
    encode = make_encoder(image_format)
    sizes = {}
    for source in sources:
        if source.crops:
            # Not decoded: their frames may be anywhere in videos of hours.
            pixels = (
                len(source.crops) * math.prod(image_format.size)
                if image_format.size
                else _pixels(source)
            )
            sizes[source] = pixels * _BYTES_PER_PIXEL[image_format.suffix]
            continue
        try:
            number, frame = _sample(source)
        except (BadVideo, OSError):
            continue
        size = len(memoryview(encode(resize(frame, image_format.size))))
        sizes[source] = number * math.ceil(size / block) * block
    return sizes


def _sample(source: FrameSource) -> "tuple[float, np.ndarray]":
    """Return the number of a source's frames, by its header, and one of the frames.

    Raises `BadVideo` when there is none.
    """
    from actionrec.frames.decoder.video import open_video  # a plan without videos needs no FFmpeg

    with open_video(source.path) as video:
        seconds = min(source.end, video.duration or math.inf) - source.start
        number = seconds * video.rate if math.isfinite(seconds) else video.header_frames
        start = source.start + (min(seconds / 2, _SECONDS_IN) if video.duration else 0.0)
        for frame in video.frames(start):
            return number, frame.image
    raise BadVideo("has no frame at the place sampled")
