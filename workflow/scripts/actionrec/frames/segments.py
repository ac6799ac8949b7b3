"""The segments of a class: parts of videos that a list names, and pictures cropped out of videos.

They are cut when frames are extracted; here is what they are cut from. The Snakefile imports this
module for `staleness`, so it loads nothing heavy.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actionrec.errors import InputError, in_lines
from actionrec.frames.decoder.faults import BadVideo
from actionrec.utils.chunks import WHOLE, Chunk
from actionrec.utils.tables import read_records, write_records
from actionrec.utils.text import count

if TYPE_CHECKING:
    import numpy as np

_MAX_LACKING = 1.0  # seconds that a video may end before the time its list states


@dataclass(frozen=True, slots=True)
class Segment:
    """A video or a part of one: its name, the video file, and the span of seconds in it.

    `video` is the name of its folder of frames, as if it were a video of its own.
    """

    video: str
    file: str
    bytes: int
    start: float = 0.0
    end: float = math.inf


@dataclass(frozen=True)
class Crop:
    """One picture of a segment: its number from 1 and the frame of the file, counted from 0.

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

    @property
    def size(self) -> tuple[int, int]:
        """Return the width and height of the picture."""
        return self.xmax - self.xmin, self.ymax - self.ymin

    def scaled(self, frame: "np.ndarray") -> "np.ndarray":
        """Return a frame of the file in the stated size."""
        import cv2

        size = self.width, self.height
        return frame if frame.shape[1::-1] == size else cv2.resize(frame, size)

    def of(self, frame: "np.ndarray") -> "np.ndarray":
        """Return the picture within a (height, width, ...) array of the stated size."""
        return frame[self.ymin : self.ymax, self.xmin : self.xmax]


@dataclass(frozen=True)
class FrameSource:
    """What a folder of frames is made of: a video file, a span of its seconds, or crops of it.

    `file` is what the manifest calls the video file.
    """

    path: Path
    file: str
    start: float = 0.0
    end: float = math.inf
    crops: tuple[Crop, ...] = ()

    @property
    def whole(self) -> bool:
        """Tell whether the source is all of its video file."""
        return not self.crops and self.start == 0 and self.end == math.inf


def write_segments(table: Path, segments: Iterable[Segment]) -> None:
    """Write the segments of a class, sorted by name."""
    write_records(table, Segment, segments)


def read_segments(table: Path) -> list[Segment]:
    """Return the segments of a class, sorted by name.

    Raises `InputError` when the file is missing or is not such a table.
    """
    return read_records(table, Segment)


def write_crops(table: Path, crops: Iterable[Crop]) -> None:
    """Write the crops of a class, sorted by segment and number."""
    write_records(table, Crop, crops)


def read_frame_sources(
    table: Path | None, crops: Path | None = None, chunk: Chunk = WHOLE
) -> dict[str, FrameSource]:
    """Return segment -> what its frames are made of, in the order of the segments' names.

    Only the segments of the chunk are looked at. Without a table there are none. Raises
    `InputError` when a table is damaged or a video is gone.
    """
    if table is None:
        return {}
    segments = [segment for segment in read_segments(table) if chunk.holds(segment.video)]
    missing = sorted({segment.file for segment in segments if not Path(segment.file).is_file()})
    if missing:
        raise InputError(
            f"{count(len(missing), 'video is', 'videos are')} missing.",
            where=table,
            found=in_lines(missing),
            fix="put them back, or correct dataset.path",
        )
    crops_of = defaultdict(list)
    for crop in read_records(crops, Crop) if crops else ():
        crops_of[crop.video].append(crop)
    return {
        segment.video: FrameSource(
            Path(segment.file),
            segment.file,
            segment.start,
            segment.end,
            tuple(crops_of[segment.video]),
        )
        for segment in segments
    }


def source_hash(source: FrameSource, video_hash: str) -> str:
    """Return the SHA-256 that no other source shares; that of the video file for a whole one."""
    if source.whole or not video_hash:
        return video_hash
    # Without the segment's name: equal segments under two names are to have one hash.
    crops = [astuple(crop)[1:] for crop in source.crops]
    key = repr((video_hash, source.start, source.end, crops))
    return hashlib.sha256(key.encode()).hexdigest()


def select_images(
    source: FrameSource, frames: "Iterable[np.ndarray]"
) -> "Iterator[tuple[int, np.ndarray]]":
    """Yield (number, image) of a source from the frames of its video, in the frames' order."""
    if not source.crops:
        yield from enumerate(frames, 1)
        return
    wanted = crops_by_frame(source.crops)
    last = max(wanted)
    for index, frame in enumerate(scaled_for_crops(source, frames)):
        yield from ((crop.image, crop.of(frame)) for crop in wanted.get(index, ()))
        if index == last:
            return  # the rest of a long video need not be decoded


def crops_by_frame(crops: Iterable[Crop]) -> dict[int, list[Crop]]:
    """Return the crops of each frame: a glued segment may have several of one."""
    found: dict[int, list[Crop]] = {}
    for crop in crops:
        found.setdefault(crop.frame, []).append(crop)
    return found


def scaled_for_crops(source: FrameSource, frames: "Iterable[np.ndarray]") -> "Iterator[np.ndarray]":
    """Return the frames of a video in the size that its crops are stated in."""
    return map(source.crops[0].scaled, frames)


def check_span(source: FrameSource, ended: float | None, rate: float, images: int) -> list[str]:
    """Return remarks on a source that became so many images; raise `BadVideo` if it is not there.

    `ended` is the second at which its video was found to end, if it was read that far, and `rate`
    its frames a second, 0 if unknown.
    """
    if source.crops:
        if images < len(source.crops):
            of = count(len(source.crops), "picture")
            raise BadVideo(f"breaks off: {images} of {of} are there")
        return []
    if ended is None or source.end == math.inf:
        return []
    lacking = source.end - ended
    if lacking > _MAX_LACKING:
        raise BadVideo(f"ends {lacking:.1f} s before its end at {source.end:g} s")
    # Rounding a time to frames costs up to one, so more than one and a half are really missing.
    if lacking > (1.5 / rate if rate else 0):
        return [f"ends {lacking:.1f} s before the time in the list"]
    return []
