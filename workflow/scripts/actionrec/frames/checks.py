"""Decide whether a video, or what was asked of it, is all there: what a header says is no proof.

A decoder that meets damage stops, most often without an error, so the frames are counted.
"""

import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from actionrec.frames.segments import FrameSource
from actionrec.utils.text import count

if TYPE_CHECKING:
    from actionrec.frames.decoding import VideoStream

# Containers that state no frame count: OpenCV multiplies length by rate, and sound may last longer.
_ESTIMATED_COUNT = (
    *(".mkv", ".webm", ".flv", ".wmv", ".asf"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
)
_UNKNOWN_RIFF_SIZE = 0xFFFFFFFF  # what a writer that cannot seek back leaves
_MAX_LACKING = 1.0  # seconds that a video may end before the time its list states


class BadVideo(Exception):
    """Say why a video cannot be used."""


def check_file(path: Path) -> None:
    """Raise `BadVideo` for a file that is empty or cut off, found without decoding.

    An AVI's RIFF header states the size of the file.
    """
    size = path.stat().st_size
    if size == 0:
        raise BadVideo("is empty (0 bytes)")
    with path.open("rb") as file:
        head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"AVI ":
        return
    (stated,) = struct.unpack("<I", head[4:8])
    if stated != _UNKNOWN_RIFF_SIZE and stated + 8 > size:
        raise BadVideo(f"is truncated: {size} of {stated + 8} bytes are there")


def check_video(path: Path, stated: int, decoded: int) -> str:
    """Return "" for a whole video, or a remark when its header states one frame too many.

    HMDB51's DivX files do: their packed B-frames end with a frame that holds no picture. Raises
    `BadVideo` when more are missing, which is the only sign of damage in the middle.
    """
    if decoded == 0:
        raise BadVideo("has no frame that can be decoded")
    slack = max(1, stated // 10) if path.suffix.lower() in _ESTIMATED_COUNT else 1
    if decoded < stated - slack:
        raise BadVideo(f"breaks off: {decoded} of {count(stated, 'frame')} can be decoded")
    missing = stated - decoded
    return f"header counts {missing} more than the decodable frames" if missing > 0 else ""


def check_source(source: FrameSource, stream: "VideoStream", images: int) -> str:
    """Return "" if all of a source became images, or a remark.

    Raises `BadVideo` when frames are missing, or times lie outside of the video.
    """
    if source.whole:
        return check_video(source.path, stream.stated_frames, images)
    if source.crops:
        if images < len(source.crops):
            raise BadVideo(
                f"breaks off: {images} of {count(len(source.crops), 'picture')} are there"
            )
        return ""
    if images == 0:
        span = f"{source.start:g} to {source.end:g} s"
        length = stream.stated_frames / stream.fps
        raise BadVideo(f"has no frame at {span}: the video lasts {length:.1f} s")
    if source.end == math.inf:
        return ""
    lacking = (source.end - source.start) - images / stream.fps
    if lacking > _MAX_LACKING:
        raise BadVideo(f"ends {lacking:.1f} s before its end at {source.end:g} s")
    # Rounding a time to frames costs up to one, so more than one and a half are really missing.
    if lacking > 1.5 / stream.fps:
        return f"ends {lacking:.1f} s before the time in the list"
    return ""
