"""Which decoded frames can be used: not what is damaged, nor what depends on that or on nothing."""

from av.packet import Packet
from av.video.frame import VideoFrame

from actionrec.frames.decoder.clock import Clock
from actionrec.frames.decoder.faults import BadVideo
from actionrec.utils.text import count


class Integrity:
    """Follow one reading of a stream, packet by packet and frame by frame.

    Damage before `needed` seconds is no matter once a key frame has come after it: nothing that
    follows a key frame needs what was before. A format may be made to be cut anywhere: what is
    damaged at its end, behind which only packets from byte `tail` on come, is left out. Without
    `keyed`, the first packet is taken for a key packet, marked or not.
    """

    def __init__(
        self, codec: str, clock: Clock, needed: float, tail: int | None, keyed: bool = True
    ) -> None:
        self.shown = 0
        self.keyless = 0  # packets before the first key packet
        self.cut_off = False
        self._codec, self._clock, self._needed = codec, clock, needed
        self._tail, self._position = tail, 0
        self._key: Packet | None = None
        self._keyed = keyed
        self._fault, self._since = "", 0.0  # what is wrong, and from when on

    def enters(self, packet: Packet | None) -> bool:
        """Tell whether a packet can be decoded: not before a key packet has come.

        None stands for the end. Raises `BadVideo` when a frame that is needed is lost by now.
        """
        if packet is None:
            return True
        if self._fault and self._clock.now >= self._needed:
            self._position = packet.pos or self._position  # of those that share a block, one's
            if self._tail is None or self._position < self._tail:
                raise self._damaged()
        if self._key is None:
            self._clock.note_first(packet)
            if self._keyed and not packet.is_keyframe:
                self.keyless += 1
                return False
            self._key = packet
        return True

    def note(self, fault: str, packet: Packet | None) -> None:
        """Note what is wrong with a packet."""
        if not self._fault and not self._leads(packet):
            self._fault, self._since = fault, self._clock.now

    def time_of(self, frame: VideoFrame, packet: Packet | None) -> float | None:
        """Return when a frame that `packet` brought out is shown; None when it cannot be used."""
        corrupt = frame.is_corrupt
        if corrupt and self._leads(frame):
            return None
        time = self._clock.show(frame)
        if corrupt:
            self.note("errors in a frame are concealed", packet)
        elif self._fault and frame.key_frame and time <= self._needed:
            self._fault = ""
        if self._fault:
            return None
        self.shown += 1
        return time

    def finish(self) -> None:
        """Raise `BadVideo` when damage was noted that no key frame has ended."""
        if self._fault and self._tail is None:
            raise self._damaged()
        self.cut_off = bool(self._fault)

    def remarks(self) -> list[str]:
        """Return what was left out."""
        found = []
        if self.keyless:
            lost = count(self.keyless, "frame is", "frames are")
            found.append(f"{lost} left out before its first key frame")
        if self.cut_off:
            found.append("its end is cut off, and what is damaged of it left out")
        return found

    def _leads(self, shown: Packet | VideoFrame | None) -> bool:
        """Tell whether something is shown before the first key packet, though it is sent later.

        Where a video was cut, such frames need what is gone, and players leave them out.
        """
        if shown is None or self._key is None or shown.pts is None or self._key.pts is None:
            return False
        return bool(shown.pts < self._key.pts)

    def _damaged(self) -> BadVideo:
        at = f", at {self._since:.2f} s" if self.shown else ""
        return BadVideo(
            f"is damaged after {count(self.shown, 'frame')}{at} ({self._codec}): {self._fault}"
        )
