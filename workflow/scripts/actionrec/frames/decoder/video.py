"""Open a video and yield its frames, whole or between two times, as a player shows them.

What a player leaves out is left out: frames that an edit list hides, and those that need a frame
from before a cut. What FFmpeg reports as damaged, and what depends on it, ends in `BadVideo`.
"""

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import numpy as np
from av.packet import Packet

from actionrec.frames.decoder.clock import Clock, limits
from actionrec.frames.decoder.container import Input
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.decoder.integrity import Integrity
from actionrec.frames.decoder.interlacing import Shown, deinterlaced
from actionrec.frames.decoder.orientation import Orientation
from actionrec.frames.decoder.pixels import Pixels

Interlaced = Literal["deinterlace", "weave"]
PixelForm = Literal["bgr24", "rgb24"]
Step = tuple[Packet | None, str]  # a packet, or None after the last, and what is wrong with it

# Seconds before a time at which to look for a key frame; next to it, the stamps of a packet and of
# its frame differ by the frames that are sent ahead of it.
_RUN_UPS = (0.0, 1.0, 10.0)
_HELD = 1000  # packets without a key frame after which to decode rather than to keep them


class Frame(NamedTuple):
    """A frame as shown: seconds from a player's 0:00, and (height, width, 3) uint8."""

    time: float
    image: np.ndarray


class Video:
    """An opened video. Use it in a `with` statement.

    The header says `codec`, `pixel_format`, `container`, `rate` (frames a second, 0 if unknown),
    `duration` (seconds, 0 if unknown) and `header_frames` (0 if unknown), which are hints. What
    only frames tell is known of those read: `orientation`, `interlaced_frames`, `variable_rate`,
    the largest `width` and `height` as shown, `keys`, the times of key frames, and after the last
    one `end`, the second until which it is shown.
    """

    def __init__(self, path: Path, interlaced: Interlaced, pixels: PixelForm) -> None:
        self.path = path
        self._mode = interlaced
        self._pixels = Pixels(pixels)
        self._input = Input(path)
        self._fresh = True
        stream, codec = self._input.stream, self._input.codec
        self.codec: str = codec.codec.canonical_name
        self.pixel_format: str = codec.pix_fmt or ""
        self.container: str = self._input.form
        self.rate = round(self._input.rate, 3)
        self.duration = self._input.duration
        self._counted = stream.frames  # 0 in containers that can only estimate it
        self.header_frames = stream.frames or round(self.duration * self._input.rate)
        self.header_interlaced = codec.field_order > 1  # top or bottom field first
        self.interlaced_frames = 0
        self.width, self.height = 0, 0
        self.keys: list[float] = []
        self.end: float | None = None
        self._hidden = 0  # frames that were counted and not shown
        self._is_time: Callable[[float], bool] | None = None  # what `at` looks for
        self._integrity: Integrity | None = None
        self._clock: Clock | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._input.close()

    @property
    def orientation(self) -> Orientation:
        """Return how the last frame was turned or mirrored to be shown."""
        return self._pixels.orientation

    @property
    def variable_rate(self) -> bool:
        """Tell whether the frames read were shown for different times."""
        return self._clock is not None and self._clock.varies

    def frames(self, start: float = 0.0, end: float = math.inf) -> Iterator[Frame]:
        """Yield the frames with start <= time < end, but for rounding, in the order shown.

        Raises `BadVideo` at the first frame that is damaged or depends on a
        damaged one, when there is no frame, and when the file ends before what its index lists.
        Memory for a few frames is used, and one thread.
        """
        return (frame for _, frame in self.select(_all, start, end))

    def select(
        self, wanted: Callable[[int, float], bool], start: float = 0.0, end: float = math.inf
    ) -> Generator[tuple[int, Frame], None, None]:
        """Yield (index, frame) of those of `frames` whose index and time are `wanted`.

        The others are decoded, since frames depend on them, and not converted.
        """
        return self._select(wanted, start, end)

    def at(
        self, is_time: Callable[[float], bool], start: float, end: float
    ) -> Generator[Frame, None, None]:
        """Yield those of the frames from `start` to `end` that are shown at such a time.

        Decoding starts as near as the container allows, and leaves out what no other frame depends
        on. So times may be wrong where stamps are missing or wrong: the caller must know the frames
        by more than that. `is_time` is asked several times.
        """
        self._is_time = is_time
        try:
            for _, frame in self._select(lambda _, time: is_time(time), start, end):
                yield frame
        finally:
            self._is_time = None
            self._input.skip_frames(False)

    def _select(
        self, wanted: Callable[[int, float], bool], start: float, end: float
    ) -> Generator[tuple[int, Frame], None, None]:
        first, last = limits(start, end, self.rate)
        count, shape = 0, (0, 0, 0)
        self._pixels.restart()
        self.keys = []
        for time, frame in self._from(first):
            if time >= last:
                return
            if time < first:
                continue
            index, count = count, count + 1
            if frame.key_frame:
                self.keys.append(time)
            if not wanted(index, time):
                self._pixels.skip(frame)
                continue
            image = self._pixels.of(frame)
            if image.shape != shape:
                shape = image.shape
                self.width, self.height = max(self.width, shape[1]), max(self.height, shape[0])
            yield index, Frame(time, image)
        if not count:
            raise BadVideo(self._nothing(start, end))

    def remarks(self) -> list[str]:
        """Return what was done or left out that a user should know, after the frames were read."""
        found = self._integrity.remarks() if self._integrity else []
        if self._hidden > 0 and not found:
            found.append(f"header counts {self._hidden} more than the frames shown")
        if self.interlaced_frames:
            how = "deinterlaced" if self._mode == "deinterlace" else "its fields are woven"
            found.append(f"is interlaced: {how}")
        if count := self._input.harmless:
            more = f" and {count - 1} more" if count > 1 else ""
            found.append(f"FFmpeg reports {self._input.last_harmless}{more}")
        return found

    @property
    def indexed(self) -> bool:
        """Tell whether the container leads to any time at once, without being read up to it."""
        return self._input.indexed

    def _nothing(self, start: float, end: float) -> str:
        if start == 0 and end == math.inf:
            return f"has no frame that can be decoded ({self.codec})"
        lasts = "" if self.end is None else f": the video lasts {self.end:.1f} s"
        return f"has no frame at {start:g} to {end:g} s{lasts}"

    def _from(self, begin: float) -> Iterator[Shown]:
        """Yield (time, frame) from some key frame at or before `begin`, else from the first."""
        for shown in self._entries(begin):
            try:
                # Frames that come before a key frame may need what was not decoded.
                first = next((pair for pair in shown if pair[1].key_frame), None)
            except BadVideo:
                continue  # the container was wrong about the key packet
            if first and first[0] <= begin:
                yield from self._smoothed(chain([first], shown))
                return
        source = self._reopened()
        yield from self._smoothed(self._decoded(source.packets(), source.clock(), begin))
        if self._integrity and self._integrity.keyless and not self._integrity.shown:
            # No key packet is marked. A decoder reports when it lacks what a frame needs.
            source = self._reopened()
            steps = self._decoded(source.packets(), source.clock(), begin, keyed=False)
            yield from self._smoothed(steps)
        if lack := source.lacks():
            raise BadVideo(f"breaks off: {lack} ({self.codec})")
        if self._counted and self._integrity:
            self._hidden = self._counted - self._integrity.shown

    def _smoothed(self, shown: Iterable[Shown]) -> Iterator[Shown]:
        return deinterlaced(shown) if self._mode == "deinterlace" else iter(shown)

    def _entries(self, begin: float) -> Iterator[Iterator[Shown]]:
        """Yield ways to begin near to a time, the nearest first: by the index, or by skipping."""
        for run_up in _RUN_UPS:
            target = begin - run_up
            if target <= 0:
                return
            source = self._input if self.indexed else self._reopened()
            if source.indexed:
                self._fresh = False
                if not source.seek(target):
                    return
                yield self._decoded(source.packets(), source.clock(), begin)
            elif run_up or self._is_time:
                clock = source.clock()
                yield self._decoded(_skipped(source, clock, target), clock, begin)

    def _reopened(self) -> Input:
        """Return the file, opened again if something was read of it."""
        if not self._fresh:
            self._input.close()
            self._input = Input(self.path)
        self._fresh = False
        return self._input

    def _decoded(
        self, steps: Iterable[Step], clock: Clock, needed: float, keyed: bool = True
    ) -> Iterator[Shown]:
        """Yield (time, frame) of the frames that can be used; those from `needed` on must be."""
        source = self._input
        integrity = Integrity(self.codec, clock, needed, source.tail, keyed)
        self._integrity, self._clock = integrity, clock
        self.interlaced_frames, self.end = 0, None
        for packet, wrong in steps:
            if not integrity.enters(packet):
                continue
            if not integrity.shown:
                source.harmless = 0  # messages about frames that a cut left without their base
            if self._is_time and packet:
                about = clock.of(packet)
                source.skip_frames(about is not None and not self._is_time(about))
            frames, reported = source.decode(packet)
            if wrong or reported:
                integrity.note(wrong or reported, packet)
            for frame in frames:
                time = integrity.time_of(frame, packet)
                if time is not None:
                    self.interlaced_frames += frame.interlaced_frame
                    yield time, frame
        integrity.finish()
        self.end = clock.now + clock.step if clock.count else None


def _all(index: int, time: float) -> bool:
    return True


def open_video(
    path: Path, *, interlaced: Interlaced = "deinterlace", pixels: PixelForm = "bgr24"
) -> Video:
    """Open a video file of any name; nothing but this file is read, whatever it says.

    `interlaced` says what becomes of frames that hold two moments: "deinterlace" makes them of
    one, so that what moves has no comb at its edges, which no network has learned from progressive
    video; "weave" leaves the lines as they are. Raises `BadVideo` when the file is empty, holds no
    video or one that no decoder is there for, `OSError` when it cannot be read.
    """
    return Video(path, interlaced, pixels)


def _skipped(source: Input, clock: Clock, target: float) -> Iterator[Step]:
    """Yield the packets from the last key packet before `target` on, having read all before.

    For containers whose index is missing or cannot be trusted: the times are those of a reading
    from the start. Raises `BadVideo` where they run backwards, as then packets do not tell them.
    """
    packets = source.packets()
    if clock.counted:
        _measure(packets, source, clock)
    held: list[Step] = []
    latest = -math.inf
    for step in packets:
        packet = step[0]
        time = None if packet is None else clock.of(packet)
        if time is not None and time < latest - 1:
            raise BadVideo("has times that run backwards")
        latest = max(latest, time or latest)
        ahead = packet is not None and latest <= target
        if ahead and packet is not None and packet.is_keyframe:
            held.clear()
        held.append(step)
        if not ahead or len(held) > _HELD:
            break
    yield from held
    yield from packets


def _measure(packets: Iterator[Step], source: Input, clock: Clock) -> None:
    """Decode until the first frame comes out: how late it is holds for all."""
    for packet, _ in packets:
        if packet is not None:
            clock.note_first(packet)
        frames, _ = source.decode(packet)
        if frames:
            clock.show(frames[0])
            break
    clock.rewind()
    source.codec.flush_buffers()
