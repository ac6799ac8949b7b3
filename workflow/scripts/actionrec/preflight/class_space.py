"""Measure on some videos, or on frames that are there, what the images of a class take on a disk.

How many bytes a frame takes depends on the footage: as PNG, a still drawing takes a tenth of what
real footage takes, and a frame of 1920x1080 twenty times as much as one of 320x240. So some videos
of each class give one frame each, which is encoded as all will be. On three sets of real videos, of
0.8, 6.6 and 18.2 GB as PNG, the estimate was 2 % to 10 % off. That of flow goes by its size alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrec.config.addresses import is_address
from actionrec.config.queries import lists_segments
from actionrec.errors import InputError
from actionrec.frames import references
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.encoders import ImageFormat, make_encoder, resize
from actionrec.frames.manifest import FrameRecord, read_manifest
from actionrec.frames.segments import FrameSource, read_frame_sources
from actionrec.frames.videos import is_video
from actionrec.utils.text import count

if TYPE_CHECKING:
    import numpy as np

# Measured on HMDB51: 51 classes, 2.1 GB of videos, frames 240 high and 320 to 560 wide.
_HMDB51_CLASS = {"png": 1.6e9, "jpg": 0.33e9}  # bytes of a class's frames, on average
_HMDB51_PIXELS = 96_938  # of a frame, on average
_HMDB51_VIDEOS = 133  # of a class, on average
_BYTES_PER_PIXEL = {"png": 1.65, "jpg": 0.35}  # of its frames, on average
# Of both images of a pair made by DIS, on average of 15 real videos: theirs take 0.08 to 0.18 and
# 0.05 to 0.14. TV-L1's take 6 % less on six of them, Farneback's 30 % more on all.
_FLOW_BYTES_PER_PIXEL = {"max_rad": 0.113, "fixed": 0.08}
_FARNEBACK = 1.3

_SAMPLED = 100  # videos of all classes together, 20 to 100 ms each
_SAMPLED_OF_CLASS = 5
_REFERENCE = 8192  # bytes of what refers to a video of up to some 1,000 frames
# Where a frame is taken: the very first may be black, and later ones cost the decoding of what lies
# before them.
_SECONDS_IN = 1.5


@dataclass(frozen=True)
class Space:
    """Bytes on a disk, and the files and folders that they are in."""

    size: float = 0.0
    files: float = 0.0

    def __add__(self, other: "Space") -> "Space":
        return Space(self.size + other.size, self.files + other.files)

    def __mul__(self, factor: float) -> "Space":
        return Space(self.size * factor, self.files * factor)


@dataclass(frozen=True)
class ImageSpace:
    """What frames take, and what the flow between them does."""

    frames: Space = Space()
    flow: Space = Space()

    def __add__(self, other: "ImageSpace") -> "ImageSpace":
        return ImageSpace(self.frames + other.frames, self.flow + other.flow)

    def __mul__(self, factor: float) -> "ImageSpace":
        return ImageSpace(self.frames * factor, self.flow * factor)


@dataclass(frozen=True)
class Stored:
    """A video whose frames are in `folder`."""

    record: FrameRecord
    folder: Path


Source = FrameSource | Stored


class _Images:
    """How images are stored: frames and flow as configured, in blocks of a disk."""

    def __init__(self, frames: Mapping[str, Any], flow: Mapping[str, str], block: int) -> None:
        size = frames["size"]
        self._format = ImageFormat(
            frames["format"], frames["encoder"], frames["quality"], tuple(size) if size else None
        )
        self._flow_bytes = _FLOW_BYTES_PER_PIXEL[flow["mapping"]] * (
            _FARNEBACK if flow["method"] == "farneback" else 1.0
        )
        self._block = block
        self._in_videos = frames.get("store") == references.SUFFIX

    def of(self, sources: Sequence[Source]) -> dict[Source, ImageSpace]:
        """Return the space that the images of each source will take; bad videos are left out."""
        encode = make_encoder(self._format)
        found: dict[Source, ImageSpace] = {}
        for source in sources:
            try:
                if isinstance(source, Stored):
                    found[source] = self._of_stored(source)
                elif source.crops:
                    found[source] = self._of_crops(source)
                else:
                    number, frame = _sample(source)
                    frame = resize(frame, self._format.size)
                    size = len(memoryview(encode(frame)))
                    found[source] = self._space(number, size, frame.shape[0] * frame.shape[1])
            except (BadVideo, OSError):
                continue
        return found

    def of_hmdb51s_class(self) -> ImageSpace:
        """Return the space of an average class of HMDB51."""
        size, form = self._format.size, self._format.suffix
        pixels = math.prod(size) if size else _HMDB51_PIXELS
        frames = _HMDB51_CLASS[form] / (_HMDB51_PIXELS * _BYTES_PER_PIXEL[form])
        return self._space(frames, pixels * _BYTES_PER_PIXEL[form], pixels, _HMDB51_VIDEOS)

    def _of_stored(self, stored: Stored) -> ImageSpace:
        record = stored.record
        pixels = record.width * record.height
        if record.suffix == references.SUFFIX:
            return self._space(record.frames, pixels * _BYTES_PER_PIXEL["png"], pixels)
        frame = stored.folder / f"{(record.frames + 1) // 2:06d}.{record.suffix}"
        return self._space(record.frames, frame.stat().st_size, pixels)

    def _of_crops(self, source: FrameSource) -> ImageSpace:
        # Not decoded: their frames may be anywhere in videos of hours.
        number, size = len(source.crops), self._format.size
        pixels = math.prod(size) if size else _pixels(source) / number
        return self._space(number, pixels * _BYTES_PER_PIXEL[self._format.suffix], pixels)

    def _space(self, frames: float, size: float, pixels: float, videos: float = 1) -> ImageSpace:
        """Return the space of frames, each of so many bytes and pixels, and of their flow."""
        flow = self._blocks(self._flow_bytes * pixels / 2)  # of one of the two images of a pair
        # A video has a folder and one in it for each kind of image.
        stored = Space(frames * self._blocks(size), frames + 2 * videos)
        if self._in_videos:
            stored = Space(videos * self._blocks(_REFERENCE), 3 * videos)
        return ImageSpace(
            frames=stored,
            flow=Space(2 * frames * flow, 2 * frames + 2 * videos),
        )

    def _blocks(self, size: float) -> int:
        return math.ceil(size / self._block) * self._block


def measure(
    config: Mapping[str, Any], classes: Sequence[str], block: int
) -> tuple[dict[str, ImageSpace], str, bool]:
    """Return what the images of each class take, what that rests on, and whether on its videos.

    `config` is what `config.params.preflight` returns, with `frames.size` as (width, height) or
    None. A file takes whole blocks, of `block` bytes.
    """
    dataset = config["dataset"]
    images = _Images(config["frames"], config["flow"], block)
    limit = min(_SAMPLED_OF_CLASS, max(1, _SAMPLED // len(classes)))
    known: dict[str, ImageSpace] = {}
    sampled = 0
    for cls in classes:
        weights = _weights(_stored(dataset, cls) or _sources(dataset, cls))
        found = images.of(_spread(weights, limit))
        if found:
            sampled += len(found)
            share = sum(weights[source] for source in found) / sum(weights.values())
            known[cls] = sum(found.values(), ImageSpace()) * (1 / share)
    if not known:
        basis = "what HMDB51's classes took: no video is here yet"
        return dict.fromkeys(classes, images.of_hmdb51s_class()), basis, False
    basis = f"measured on {count(sampled, 'video')}"
    if others := len(classes) - len(known):
        basis += f"; {count(others, 'class')} without a video yet counted like the others"
    average = sum(known.values(), ImageSpace()) * (1 / len(known))
    return {cls: known.get(cls, average) for cls in classes}, basis, True


def frames_table(dataset: Mapping[str, Any], cls: str) -> Path:
    """Return the table of a class's frames, which is there once they are."""
    return table_of(dataset, "frames", cls)


def table_of(dataset: Mapping[str, Any], kind: str, cls: str) -> Path:
    """Return a class's table of this kind: videos, frames, flow, parts or crops."""
    return Path("results", dataset["name"], "tables", kind, f"{cls}.tsv")


def _stored(dataset: Mapping[str, Any], cls: str) -> list[Source]:
    """Return the videos of a class whose frames are there already, with their folders."""
    folder = Path("resources", dataset["name"], "frames", cls)
    try:
        records = read_manifest(frames_table(dataset, cls))
    except InputError:  # not made yet
        return []
    return [Stored(record, folder / record.video / "rgb") for record in records if record.usable]


def _sources(dataset: Mapping[str, Any], cls: str) -> list[Source]:
    """Return the videos of a class, or the segments of them, that are here now."""
    if lists_segments(dataset):
        crops = table_of(dataset, "crops", cls)
        try:
            table = table_of(dataset, "videos", cls)
            return [*read_frame_sources(table, crops if crops.exists() else None).values()]
        except InputError:  # not listed yet, or no longer there
            return []
    videos = Path("resources", dataset["name"], "videos")
    if dataset["source"] == "folder" and not is_address(dataset["path"]):
        videos = Path(dataset["path"]).expanduser()
    folder = videos / cls
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [FrameSource(p, p.name) for p in paths if is_video(p.name) and p.is_file()]


def _weights(sources: Sequence[Source]) -> dict[Source, float]:
    """Return for each source what the space of its frames grows with, in the same unit for all."""
    videos = [source for source in sources if isinstance(source, FrameSource)]
    if not videos:
        return {stored: stored.record.frames for stored in sources if isinstance(stored, Stored)}
    if all(source.crops for source in videos):
        return {source: _pixels(source) for source in videos}
    if all(source.whole for source in videos):
        return {source: source.path.stat().st_size for source in videos}
    if all(source.end < math.inf for source in videos):
        return {source: source.end - source.start for source in videos}
    return dict.fromkeys(videos, 1.0)


def _pixels(source: FrameSource) -> int:
    return sum(math.prod(crop.size) for crop in source.crops)


def _spread(weights: Mapping[Source, float], limit: int) -> list[Source]:
    """Return at most `limit` of the sources, evenly spread from light to heavy."""
    ordered = sorted(weights, key=lambda source: (weights[source], str(source)))
    number = min(limit, len(ordered))
    return [ordered[(2 * index + 1) * len(ordered) // (2 * number)] for index in range(number)]


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
