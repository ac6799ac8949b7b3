"""When a frame is shown: the seconds that a player's clock counts from 0:00.

A player's 0:00 is the start of whatever starts first, picture or sound. So a picture that starts
two seconds after its sound has its first frame at 2.0, and the times of a recording that was cut
out of a longer one start at 0, whatever its stamps say.
"""

import math
from typing import Protocol

from av.packet import Packet


class Stamped(Protocol):
    """A frame, or what is known of one: its stamps, None where it has none, and how long it is."""

    @property
    def pts(self) -> int | None:
        """Return when it is to be shown."""

    @property
    def dts(self) -> int | None:
        """Return when the packet that brought it out was to be decoded."""

    @property
    def duration(self) -> int | None:
        """Return how long it is shown, 0 if unknown."""


def limits(start: float, end: float, rate: float) -> tuple[float, float]:
    """Return first and last, so that the frames from `start` to `end` have first <= time < last.

    Lists state times with few digits, so a time may be up to a tenth of a frame off, 1 to 5
    milliseconds. `rate` is frames a second, 0 if unknown.
    """
    slack = min(max(0.1 / rate if rate else 0.0, 0.001), 0.005)
    return (start - slack if start > 0 else -math.inf), end - slack


class Clock:
    """Turn the stamps of a stream into seconds that grow from frame to frame.

    A stamp is worth `unit` seconds; `origin` is the stamp of 0:00, and `zero` what 0:00 is later
    than that, in seconds. `rate` is frames a second, 0 if unknown. `counted` says that the
    container numbers its packets instead of stamping frames: AVI does.
    """

    def __init__(self, unit: float, origin: int, zero: float, rate: float, counted: bool) -> None:
        self.counted = counted
        self.now = -math.inf  # when the last frame was shown
        self.step = 1 / rate if rate else 0.0  # how long that was
        self.count = 0
        self.shortest, self.longest = math.inf, 0.0
        self._unit, self._origin, self._zero = unit, origin, zero
        self._first: int | None = None  # the number of the first packet
        self._set = False  # whether the origin allows for how late frames come out

    @property
    def varies(self) -> bool:
        """Tell whether frames were shown for different times, by more than rounding explains."""
        return self.longest - self.shortest > max(0.0021, 0.1 * self.shortest)

    def note_first(self, packet: Stamped) -> None:
        """Remember the first packet, which the first frame is counted from."""
        if self._first is None:
            self._first = packet.dts

    def of(self, packet: Packet) -> float | None:
        """Return about when the frame of a packet is shown, or None when nothing tells."""
        stamp = packet.dts if packet.pts is None else packet.pts
        return None if stamp is None else (stamp - self._origin) * self._unit - self._zero

    def show(self, frame: Stamped) -> float:
        """Return when a frame is shown, the frames coming in that order.

        A stamp that does not grow is not believed: the clock goes on by the frame's length, as it
        does where recordings were joined and the stamps start again.
        """
        stamp = frame.pts
        if self.counted or stamp is None:
            stamp = frame.dts  # FFmpeg's: that of the packet which brought the frame out
        if self.count == 0:
            time = self._start(stamp)
        else:
            time = self.now
            if stamp is not None:
                time = (stamp - self._origin) * self._unit - self._zero
            if time <= self.now:
                time = self.now + self.step
            step = time - self.now
            if step < self.shortest:
                self.shortest = step
            if step > self.longest:
                self.longest = step
        if duration := frame.duration:
            self.step = duration * self._unit
        self.count += 1
        self.now = time
        return time

    def _start(self, stamp: int | None) -> float:
        """Return when the first frame is shown; in AVI, when its packet is counted."""
        if stamp is None:
            return 0.0
        if self.counted and not self._set and self._first is not None:
            self._origin += stamp - self._first
            self._set = True
        return (stamp - self._origin) * self._unit - self._zero

    def rewind(self) -> None:
        """Forget the frames shown, not how much later than their packets they come out."""
        self.now, self.count = -math.inf, 0
