"""List the images of a source from the packets of its video, which is not decoded for that.

It costs a fraction of decoding, and tells nothing of pixels: what is damaged shows when a task
reads it, and what becomes of it is proved by the file and the time of each frame, not by checksums.
"""

import logging
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.made_images import MadeImages
from actionrec.frames.segments import FrameSource, check_span
from actionrec.frames.store import microseconds

if TYPE_CHECKING:
    from actionrec.frames.decoder.packets import PacketFrames

log = logging.getLogger(__name__)


def list_images(
    source: FrameSource, size: tuple[int, int] | None
) -> "tuple[MadeImages, PacketFrames, list[str]] | None":
    """Return a source's images, the frames of its video, and remarks; None where in doubt.

    What is bad is in doubt, too: decoding tells more of it. `size` is the (width, height) that
    images are resized to, if any. Raises `OSError`.
    """
    from actionrec.frames.decoder.packets import Doubt

    try:
        video = _frames_once(source.path, source.path.stat().st_mtime_ns)
        times, ended = video.span(source.start, source.end)
        made = MadeImages()
        for number, frame, shape in _images(source, len(times), (video.width, video.height)):
            made.note(number, microseconds(times[frame]), size or shape)
        spanned = check_span(source, ended, video.rate, len(made.times))
    except (Doubt, BadVideo) as doubt:
        log.info("%s is decoded to list its frames: %s", source.path, doubt)
        return None
    return made, video, [*video.remarks(), *spanned]


def _images(
    source: FrameSource, count: int, size: tuple[int, int]
) -> list[tuple[int, int, tuple[int, int]]]:
    """Return number, frame and size of the images that are made of `count` frames."""
    from actionrec.frames.decoder.packets import Doubt

    found = [(index + 1, index, size) for index in range(count)]
    if source.crops:
        found = [(crop.image, crop.frame, crop.size) for crop in source.crops]
    if not count or max(frame for _, frame, _ in found) >= count:
        raise Doubt("it has fewer frames than are needed")
    return found


@lru_cache(maxsize=64)
def _frames_once(video: Path, modified: int) -> "PacketFrames":
    """Return the frames of a video that many segments may be cut from; `modified` is its time."""
    from actionrec.frames.decoder.packets import list_frames

    return list_frames(video)
