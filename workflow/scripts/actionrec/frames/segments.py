"""The clips of a class that a list tells: a span of a video, or pictures cropped out of it.

The frames are cut when they are extracted; here is what they are cut from. The Snakefile imports
this module to ask `stale`, so it loads nothing heavy.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actionrec.errors import InputError, in_lines
from actionrec.frames.videos import BadVideo, Stream, judge
from actionrec.utils.tables import read_records, write_records

if TYPE_CHECKING:
    import numpy as np

_TOLERATED = 1.0  # seconds that a video may end before the time its list states


@dataclass(frozen=True)
class Cut:
    """One clip of a class: its name, the video file it is of, and the span of seconds in it."""

    video: str
    file: str
    bytes: int
    start: float = 0.0
    end: float = math.inf


@dataclass(frozen=True)
class Crop:
    """One picture of a clip: its number from 1 and the frame of the video, counted from 0.

    That frame, resized to `width` x `height` pixels, holds the picture in [ymin:ymax, xmin:xmax].
    """

    video: str
    image: int
    frame: int
    width: int
    height: int
    xmin: int
    ymin: int
    xmax: int
    ymax: int

    def of(self, frame: "np.ndarray") -> "np.ndarray":
        """Return the picture within a (height, width, ...) array of the stated size."""
        return frame[self.ymin : self.ymax, self.xmin : self.xmax]


@dataclass(frozen=True)
class Source:
    """What a clip's frames are made of: a video, a span of its seconds, or crops of it.

    `file` is what the manifest calls the video.
    """

    path: Path
    file: str
    start: float = 0.0
    end: float = math.inf
    crops: tuple[Crop, ...] = ()

    @property
    def whole(self) -> bool:
        """Tell whether the clip is all of its video."""
        return not self.crops and self.start == 0 and self.end == math.inf


def write_cuts(table: Path, cuts: Iterable[Cut]) -> None:
    """Write the clips of a class, sorted by name."""
    write_records(table, Cut, cuts)


def read_cuts(table: Path) -> list[Cut]:
    """Return the clips of a class, sorted by name.

    Raises `InputError` when the file is missing or is not such a table.
    """
    return read_records(table, Cut)


def write_crops(table: Path, crops: Iterable[Crop]) -> None:
    """Write the crops of a class, sorted by clip and number."""
    write_records(table, Crop, crops)


def read_sources(table: Path, crops: Path | None = None) -> dict[str, Source]:
    """Return clip -> what it is made of, in the order of the clips' names.

    Raises `InputError` when a table is damaged or a video is gone.
    """
    cuts = read_cuts(table)
    missing = sorted({cut.file for cut in cuts if not Path(cut.file).is_file()})
    if missing:
        raise InputError(
            f"{len(missing)} videos are missing.",
            where=table,
            found=in_lines(missing),
            fix="put them back, or correct dataset.path",
        )
    pictures = defaultdict(list)
    for crop in read_records(crops, Crop) if crops else ():
        pictures[crop.video].append(crop)
    return {
        cut.video: Source(Path(cut.file), cut.file, cut.start, cut.end, tuple(pictures[cut.video]))
        for cut in cuts
    }


def identity(source: Source, digest: str) -> str:
    """Return the SHA-256 that tells a clip from any other; that of its video for a whole one."""
    if source.whole or not digest:
        return digest
    crops = [astuple(crop)[1:] for crop in source.crops]
    return hashlib.sha256(repr((digest, source.start, source.end, crops)).encode()).hexdigest()


def pictures(source: Source, frames: "Iterable[np.ndarray]") -> "Iterator[tuple[int, np.ndarray]]":
    """Yield (number, picture) of a clip from the frames of its video, in the frames' order."""
    if not source.crops:
        yield from enumerate(frames, 1)
        return
    wanted = by_frame(source.crops)
    for index, frame in enumerate(resized(source, frames)):
        yield from ((crop.image, crop.of(frame)) for crop in wanted.get(index, ()))
        if index == max(wanted):
            return


def by_frame(crops: Iterable[Crop]) -> dict[int, list[Crop]]:
    """Return the crops of each frame: a glued clip may have several of one."""
    found: dict[int, list[Crop]] = {}
    for crop in crops:
        found.setdefault(crop.frame, []).append(crop)
    return found


def resized(source: Source, frames: "Iterable[np.ndarray]") -> "Iterator[np.ndarray]":
    """Yield the frames of a video in the size that its crops are stated in."""
    import cv2

    size = source.crops[0].width, source.crops[0].height
    for frame in frames:
        yield frame if frame.shape[1::-1] == size else cv2.resize(frame, size)


def verdict(source: Source, stream: Stream, count: int) -> str:
    """Return "" for a clip that is all there, or a remark; `count` is the number of its frames.

    Raises `BadVideo` when frames are missing, or times lie outside of the video.
    """
    if source.whole:
        return judge(source.path, stream.header, count)
    if source.crops:
        if count < len(source.crops):
            raise BadVideo(f"breaks off: {count} of {len(source.crops)} pictures are there")
        return ""
    lasts = stream.header / stream.fps
    if count == 0:
        span = f"{source.start:g} to {source.end:g} s"
        raise BadVideo(f"has no frame at {span}: the video lasts {lasts:.1f} s")
    lacking = (source.end - source.start) - count / stream.fps if source.end < math.inf else 0
    if lacking > _TOLERATED:
        raise BadVideo(f"ends {lacking:.1f} s before its end at {source.end:g} s")
    if lacking > 1.5 / stream.fps:
        return f"ends {lacking:.1f} s before the time in the list"
    return ""
