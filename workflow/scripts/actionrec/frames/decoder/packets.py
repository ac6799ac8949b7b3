"""List a video's frames from its packets, of which no more than the first is decoded.

That is right where each packet becomes one frame and its stamp tells when. What raises a doubt
about that ends in `Doubt`: decoding the video is then the way to know. Damage within packets shows
only to who decodes them.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from av.bitstream import BitStreamFilterContext
from av.packet import Packet

from actionrec.frames.decoder.clock import limits
from actionrec.frames.decoder.container import Input
from actionrec.frames.decoder.orientation import Orientation
from actionrec.frames.decoder.pixels import Pixels

# Those whose containers hold a frame in each packet, as tests show. In AVI packets have no stamps.
_STAMPED = ("h264", "hevc", "mpeg4", "vp9", "av1", "mjpeg")
_CODECS = {
    "mov,mp4,m4a,3gp,3g2,mj2": _STAMPED,
    "matroska,webm": _STAMPED,
    "avi": ("mpeg4", "mjpeg"),
}
_VOP = b"\0\0\1\xb6"  # where a picture of MPEG-4 part 2 starts; its kind is in the next two bits
_B = 2
_EMPTY = 19  # bytes up to which such a picture may be none, but the word that nothing has changed


class Doubt(Exception):
    """Packets do not tell what the frames are; the text says why."""


class _Stamp(NamedTuple):
    """What a packet tells of its frame."""

    pts: int | None
    dts: int | None
    duration: int
    key: bool


class PacketFrames:
    """The frames of a video as its packets tell them, with what `Video` knows of frames read.

    `times` are those that `Video.frames` would give, `keys` the times of key frames.
    """

    def __init__(self, source: Input) -> None:
        """Read all packets; raise `Doubt` where they do not tell, `BadVideo` for no video."""
        stream, codec = source.stream, source.codec
        self.codec: str = codec.codec.canonical_name
        self.rate = round(source.rate, 3)
        self.interlaced_frames = 0  # others are doubtful
        self.orientation = Orientation()
        self.width, self.height = 0, 0
        if self.codec not in _CODECS.get(source.form, ()):
            raise Doubt(f"{self.codec} in {source.form} may have packets that are no frames")
        if codec.field_order > 1:
            raise Doubt("it is interlaced")
        clock = source.clock()
        packets = self._packets(source)
        stamps = _counted(packets, source) if clock.counted else _by_stamp(packets, self.codec)
        clock.note_first(stamps[0])
        self.times = [clock.show(stamp) for stamp in stamps]
        self.keys = [time for time, stamp in zip(self.times, stamps, strict=True) if stamp.key]
        self.variable_rate, self._end = clock.varies, clock.now + clock.step
        self._hidden = stream.frames - len(stamps) if stream.frames else 0

    def span(self, start: float, end: float) -> tuple[Sequence[float], float | None]:
        """Return the times of the frames that `Video.frames` yields from `start` to `end`.

        With them comes the second until which the last frame of the video is shown, or None where
        the span ends before.
        """
        first, last = limits(start, end, self.rate)
        times = [time for time in self.times if first <= time < last]
        return times, None if self.times[-1] >= last else self._end

    def remarks(self) -> list[str]:
        """Return what a user should know."""
        if self._hidden > 0:
            return [f"header counts {self._hidden} more than the frames shown"]
        return []

    def _packets(self, source: Input) -> Iterator[Packet]:
        """Yield the packets, the first of them decoded."""
        first: Packet | None = None
        for packet, wrong in source.packets():
            if wrong:
                raise Doubt(wrong)
            if packet is None:
                break
            if packet.is_discard:
                raise Doubt("an edit list hides frames")
            if first is None:
                first = packet
                self._look(source, packet)
            yield packet
        if first is None:
            raise Doubt("it has no packets")
        if lack := source.lacks():
            raise Doubt(lack)

    def _look(self, source: Input, packet: Packet) -> None:
        """Take the size and the orientation from the first frame."""
        if not packet.is_keyframe:
            raise Doubt("it does not start with a key frame")
        frames, wrong = source.decode(packet)
        if not frames and not wrong:
            frames, wrong = source.decode(None)  # which brings out what waits for later ones
        if wrong or len(frames) != 1 or frames[0].is_corrupt or not frames[0].key_frame:
            raise Doubt(wrong or "its first packet is no whole frame")
        if frames[0].interlaced_frame:
            raise Doubt("it is interlaced")
        pixels = Pixels("bgr24")
        self.height, self.width = pixels.of(frames[0]).shape[:2]
        self.orientation = pixels.orientation


def list_frames(path: Path) -> PacketFrames:
    """Return the frames of a video file.

    Raises `Doubt` where its packets do not tell them, and what `open_video` raises.
    """
    source = Input(path)
    try:
        return PacketFrames(source)
    finally:
        source.close()


def _by_stamp(packets: Iterable[Packet], codec: str) -> list[_Stamp]:
    """Return what packets tell of their frames, in the order shown."""
    stamps = []
    for packet in packets:
        if packet.pts is None:
            raise Doubt("a packet has no stamp")
        if codec == "mpeg4":
            _kind_of_picture(packet)
        stamps.append(_Stamp(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe))
    first = stamps[0].pts
    stamps.sort(key=lambda stamp: stamp.pts or 0)
    if stamps[0].pts != first:
        raise Doubt("frames are shown before the first key frame")
    if len({stamp.pts for stamp in stamps}) < len(stamps):
        raise Doubt("two packets have one stamp")
    return stamps


def _counted(packets: Iterable[Packet], source: Input) -> list[_Stamp]:
    """Return what the packets of an AVI tell, which numbers them, in the order shown."""
    packets = _without_gaps(packets)
    mpeg4 = source.codec.name == "mpeg4"
    keys: list[bool] = []
    held: bool | None = None
    for packet in _unpacked(packets, source) if mpeg4 else packets:
        key = packet.is_keyframe
        if mpeg4 and _kind_of_picture(packet) == _B:
            keys.append(False)
            continue
        if held is not None:
            keys.append(held)
        held = key  # shown when the next picture that others refer to has come
    keys.append(bool(held))
    return [_Stamp(None, number, 1, key) for number, key in enumerate(keys)]


def _without_gaps(packets: Iterable[Packet]) -> Iterator[Packet]:
    """Yield packets whose numbers follow on each other: where one is left out, time goes on."""
    first = 0
    for place, packet in enumerate(packets):
        first = first if place else packet.dts or 0
        if packet.dts != first + place:
            raise Doubt("frames were dropped when it was recorded")
        yield packet


def _unpacked(packets: Iterable[Packet], source: Input) -> Iterator[Packet]:
    """Yield packets of one picture each: DivX packs two into one, and nothing into the next."""
    unpack = BitStreamFilterContext("mpeg4_unpack_bframes", source.stream)
    place = 0
    for packet in packets:
        for single in unpack.filter(packet):
            # The second packet of HMDB51's files is this byte: the decoder is one behind by then.
            if place != 1 or single.size > 1 or not source.codec.has_b_frames:
                yield single
            place += 1


def _kind_of_picture(packet: Packet) -> int:
    """Return which kind of picture of MPEG-4 part 2 a packet holds; it must be a single one."""
    data = bytes(packet)
    start = data.find(_VOP) + len(_VOP)
    if len(data) <= _EMPTY or start < len(_VOP) or data.find(_VOP, start) >= 0:
        raise Doubt("a packet may hold no picture, or several")
    return data[start] >> 6
