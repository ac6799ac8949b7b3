"""Draw predictions onto a video: label, score bar and timeline, as WebM that browsers play."""

import errno
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont

from actionrec.deploy.model_card import UNKNOWN
from actionrec.deploy.timeline import Segment
from actionrec.frames.decoder.video import open_video
from actionrec.utils.files import replacing

CODEC = "libvpx"  # VP8: plays in every browser since 2010, and encodes at a multiple of VP9's speed
_MAX_SIDE = 960
_COLOURS = ("#4e9ad4", "#e08a3c", "#5cb374", "#c65b5b", "#9a7bc8", "#b0a13a", "#4fb3b3", "#cf79a8")
_GREY = "#8a8a8a"
_UNIT = Fraction(1, 1000)


def annotate(
    source: Path, target: Path, segments: Sequence[Segment], labels: Sequence[str]
) -> None:
    """Write a video with its segments drawn on the frames, whole or not at all.

    The file is read a second time for it: what a frame is called depends on the frames after it.
    Raises `BadVideo`, or `InputError` on a full disk.
    """
    with replacing(target) as part, open_video(source) as video:
        ends = [segment.end for segment in segments]
        duration = min([*ends[-1:], video.duration or math.inf])
        writer: _Writer | None = None
        try:
            for time, frame in video.frames():
                if writer is None:
                    writer = _Writer(part, frame.shape[1], frame.shape[0], video.rate)
                    drawing = Drawing(writer.width, writer.height, labels, segments, duration)
                writer.write(drawing.on(writer.fitted(frame), time), time)
        finally:
            if writer:
                writer.close()


class _Writer:
    """Encodes RGB images of one size with their times, in seconds that grow."""

    def __init__(self, path: Path, width: int, height: int, rate: float) -> None:
        scale = min(1.0, _MAX_SIDE / max(width, height))
        # Chroma is stored for two by two pixels.
        self.width, self.height = (max(16, round(side * scale / 2) * 2) for side in (width, height))
        self._container = av.open(str(path), "w", format="webm")
        ratio = Fraction(rate or 25).limit_denominator(1000)
        stream = cast(VideoStream, self._container.add_stream(CODEC, rate=ratio))
        self._stream = stream
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
        stream.codec_context.time_base = _UNIT
        stream.options = {"deadline": "realtime", "cpu-used": "8", "crf": "12", "b": "2M"}
        self._last = -1

    def fitted(self, frame: np.ndarray) -> Image.Image:
        """Return a BGR frame as an image of the size that is written."""
        image = Image.fromarray(np.ascontiguousarray(frame[..., ::-1]))
        size = (self.width, self.height)
        return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)

    def write(self, image: Image.Image, time: float) -> None:
        frame = av.VideoFrame.from_image(image)
        self._last = max(self._last + 1, round(time / _UNIT))
        frame.pts, frame.time_base = self._last, _UNIT
        with _disk_errors():
            for packet in self._stream.encode(frame):
                self._container.mux(packet)

    def close(self) -> None:
        with _disk_errors():
            try:
                if self._last >= 0:
                    for packet in self._stream.encode(None):
                        self._container.mux(packet)
            finally:
                self._container.close()


class _disk_errors:
    """Turn FFmpeg's error of a full disk into the one that `replacing` explains."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, av.FFmpegError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(error.errno, str(error)) from error


class Drawing:
    """Draws the label of the moment, its score as a bar, and the whole timeline."""

    def __init__(
        self,
        width: int,
        height: int,
        labels: Sequence[str],
        segments: Sequence[Segment],
        duration: float,
    ) -> None:
        self.width, self.height, self.duration = width, height, duration
        self.segments = list(segments)
        self.line = max(10, height // 16)
        self.font = ImageFont.load_default(self.line)
        self.colours = {label: _COLOURS[i % len(_COLOURS)] for i, label in enumerate(labels)}
        self.colours[UNKNOWN] = _GREY
        self.timeline = self._draw_timeline()

    def _draw_timeline(self) -> Image.Image:
        strip = Image.new("RGB", (self.width, max(4, self.line // 2)), "#222222")
        draw = ImageDraw.Draw(strip)
        for segment in self.segments:
            left, right = (self._x(time) for time in (segment.start, segment.end))
            draw.rectangle((left, 0, max(left, right - 1), strip.height), self._colour(segment))
        return strip

    def _x(self, time: float) -> int:
        if not 0 < self.duration < math.inf:
            return 0
        return round(self.width * min(1.0, time / self.duration))

    def _colour(self, segment: Segment) -> str:
        return self.colours.get(segment.label, _GREY)

    def at(self, time: float) -> Segment | None:
        """Return the segment that a time lies in."""
        return next((s for s in self.segments if s.start <= time < s.end), None)

    def on(self, image: Image.Image, time: float) -> Image.Image:
        """Return an image with what is said of its time."""
        draw = ImageDraw.Draw(image)
        top = self.height - self.timeline.height
        image.paste(self.timeline, (0, top))
        x = self._x(time)
        draw.rectangle((x - 1, top - 2, x + 1, self.height), "white")
        if segment := self.at(time):
            text = f"{segment.label} {100 * segment.score:.0f} %"
            box = (0, 0, self.width, self.line + 8)
            draw.rectangle(box, "#222222")
            bar = (0, self.line + 4, round(self.width * segment.score), self.line + 8)
            draw.rectangle(bar, self._colour(segment))
            draw.text((4, 1), text, fill="white", font=self.font)
        return image
