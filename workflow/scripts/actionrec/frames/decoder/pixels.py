"""Decoded frames as arrays: which colours a pixel gets, and which way up the picture is."""

from functools import lru_cache
from typing import Any

import av
import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc, Interpolation, VideoReformatter

from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.decoder.orientation import Orientation, orientation_of

_HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # PQ and HLG
_WIDE = (
    ColorPrimaries.FILM,
    ColorPrimaries.BT2020,
    ColorPrimaries.SMPTE428,
    ColorPrimaries.SMPTE431,
    ColorPrimaries.SMPTE432,
    ColorPrimaries.EBU3213,
)

_BICUBIC = int(Interpolation.BICUBIC)  # as a number and, below, an object: looked up once


class Pixels:
    """Turn frames of one video into (height, width, 3) uint8 arrays in `form`, bgr24 or rgb24.

    The values are those of `cv2.VideoCapture` of OpenCV 5.0, which has the same FFmpeg: the matrix
    (BT.601, BT.709, BT.2020) and the range (limited or full) are those that a frame states, or
    BT.601 and limited where it states none; more bits are rounded to 8; HDR and wide gamuts are
    mapped to BT.709. Pixels that are not square are left as they are. An array may share its memory
    with the decoder: copy it before writing to it.
    """

    def __init__(self, form: str) -> None:
        self._form: Any = VideoFormat(form)
        # One for the whole video: it keeps the tables that it makes for a pixel format.
        self._reformatter = VideoReformatter()
        self.orientation, self._turned = Orientation(), False
        self._mapping: dict[str, int] = {}
        self._stale = True

    def of(self, frame: VideoFrame) -> np.ndarray:
        """Return a frame's pixels, shown as its display matrix says.

        Raises `BadVideo` for colours that FFmpeg cannot convert.
        """
        self.skip(frame)
        try:
            converted = self._reformatter.reformat(
                frame,
                format=self._form,
                interpolation=_BICUBIC,  # as OpenCV: it decides on how chroma is spread
                threads=1,  # the processes are the parallelism
                **self._mapping,
            )
        except av.FFmpegError as error:
            form = f"{frame.format.name}, colour matrix {frame.colorspace}"
            reason = f"has colours that cannot be converted ({form}): {error.strerror}"
            raise BadVideo(reason) from error
        image = _view(converted)
        return self.orientation.apply(image) if self._turned else image

    def skip(self, frame: VideoFrame) -> None:
        """Take note of a frame without converting it: what follows may be shown as it says."""
        if frame.key_frame or self._stale:
            self._prepare(frame)

    def _prepare(self, frame: VideoFrame) -> None:
        """Take note of what may change from one key frame to the next."""
        self.orientation, self._mapping, self._stale = orientation_of(frame), _mapped(frame), False
        self._turned = self.orientation != Orientation()
        if self._mapping:
            self._reformatter = _mapper(frame.width, frame.height, frame.format.name)

    def restart(self) -> None:
        """Expect frames from another part of the video, which may be another way up."""
        self._stale = True


@lru_cache(maxsize=2)
def _mapper(width: int, height: int, form: str) -> VideoReformatter:
    """Return what maps HDR frames of one kind: its tables take seconds to make, so videos share."""
    return VideoReformatter()


def _view(frame: VideoFrame) -> np.ndarray:
    """Return a frame's memory as an array, which PyAV's own way takes three times as long for."""
    plane = frame.planes[0]
    if plane.line_size != 3 * frame.width:  # padded, or from the bottom up
        return np.ascontiguousarray(frame.to_ndarray())
    memory: Any = plane
    return np.ndarray((frame.height, frame.width, 3), np.uint8, memory)


def _mapped(frame: VideoFrame) -> dict[str, int]:
    """Return which transfer curve and primaries to map a frame to, where it is not plain video.

    libswscale does so by itself when it is told the source's, which PyAV does only together with a
    destination.
    """
    hdr, wide = frame.color_trc in _HDR, frame.color_primaries in _WIDE
    if not (hdr or wide):
        return {}
    return {
        "dst_color_trc": ColorTrc.BT709 if hdr else frame.color_trc,
        "dst_color_primaries": ColorPrimaries.BT709 if wide else frame.color_primaries,
    }
