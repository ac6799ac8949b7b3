"""Open a file with FFmpeg, read its packets and decode them, with all that FFmpeg reports.

FFmpeg reports damage in four ways, and all of them count: an error code, a flag of a packet (cut
off, out of sequence), a flag of a frame (concealed errors), and for some demuxers and decoders
nothing but a message.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import av.logging
from av.container import Flags, InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from actionrec.frames.decoder.clock import Clock
from actionrec.frames.decoder.faults import BadVideo, convert_command, look_into
from actionrec.utils.text import count

# Demuxers of files that hold their own pictures. Not among them: playlists (hls, dash, concat, sdp,
# imf), which name other files and addresses, devices, and single images.
_FORMATS = (
    *("avi", "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "live_flv", "asf", "asf_o"),
    *("mpeg", "mpegts", "mpegtsraw", "mpegvideo", "m4v", "h264", "hevc", "av1", "obu", "vc1"),
    *("dv", "mxf", "mxf_opatom", "gxf", "ogg", "nut", "wtv", "rm", "ivf", "mjpeg", "gif", "apng"),
    *("yuv4mpegpipe", "h261", "h263", "swf", "nsv", "nuv", "dhav", "ivr", "vvc", "evc"),
)
_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(_FORMATS),
    # 8192 x 8192: a damaged header must not ask for all memory. 8K video has half of it.
    "max_pixels": str(2**26),
}
# These decoders report errors only when they are to fail on them. The others flag frames, and would
# fail on harmless things too: on cut-off comments (H.264), on padding (MPEG-2).
_FAIL = {"err_detect": "crccheck+bitstream+buffer+explode"}
_SILENT = ("mjpeg", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "msmpeg4v3", "wmv1", "wmv2", "wmv3", "vc1")
# Decoders that are asked for each packet whether to leave its frame out.
_SKIPPING = ("h264", "hevc", "mpeg4", "mpeg2video")
# Decoders that flag no frame, whatever they report.
_UNFLAGGED = ("ffv1", "dvvideo")
# What other decoders only report: a frame that was predicted from frames that are not there.
_BASELESS = re.compile(
    "no keyframe|Could not find ref|[Mm]issing reference|reference picture missing|co located POCs"
    "|constructing the frame RPS"
)
_ENDED = "ended prematurely"  # as Matroska's demuxer puts it

_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # can be entered anywhere by time
_LISTING = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")  # list every frame in their index
_STREAMED = ("mpegts", "mpeg")  # made to be cut anywhere
_BLOCKS = 4096  # bytes at their end in which a cut damages packets: two blocks of MPEG's

_CHUNK_HEAD = 8  # bytes before the data of an AVI's packet

# FFmpeg's error messages since this was last emptied: (level, component, text).
av.logging.set_level(av.logging.ERROR)
av.logging.set_skip_repeated(False)
_HEARD: list[tuple[int, str, str]] = av.logging.Capture(local=False).__enter__()


class Input:
    """An opened file: its container, its video stream and the decoder of that, on one thread.

    That the source is a file is known only to `__init__`: a camera or an address would come with
    other options and without a look at its first bytes.
    """

    def __init__(self, path: Path) -> None:
        """Raise `BadVideo` when the file holds no video that can be decoded, or `OSError`."""
        kind = look_into(path)
        # Bytes that are not UTF-8 are in the name as surrogates, which PyAV turns back. "file:"
        # and the absolute path leave no name that FFmpeg takes for an address or an option.
        name = f"file:{os.path.abspath(path)}"  # noqa: PTH100 -- links stay links
        _HEARD.clear()
        try:
            # HMDB51's titles are Latin-1: what is not UTF-8 in them is dropped.
            container = av.open(name, metadata_errors="ignore", options=_OPTIONS)
        except av.FFmpegError as error:
            raise BadVideo(f"holds no video stream: {kind or _reason(error)}") from error
        self.container = container
        try:
            self.stream = _choose(container)
            self.codec = _decoder(container, self.stream, path)
        except BaseException:
            container.close()
            raise
        self.form: str = container.format.name
        # A short file is read to its end by then.
        self._short = next((text.strip() for _, _, text in _HEARD if _ENDED in text), "")
        self.harmless, self.last_harmless = 0, ""  # messages that mean no damage
        self.packets_read = 0
        # In AVI a lost packet shifts the times of all that follow, and only the index shows it.
        entries = self.stream.index_entries if self.form == "avi" else ()
        self._numbers: dict[int | None, int] = {
            entry.pos + _CHUNK_HEAD: entry.timestamp for entry in entries
        }
        # What PyAV derives where stamps are missing is wrong for DivX's packed B-frames.
        container.flags &= ~Flags.gen_pts.value  # type: ignore[operator]
        for other in container.streams:
            if other.index != self.stream.index:
                other.discard = Discard.all

    @property
    def indexed(self) -> bool:
        """Tell whether `seek` finds its way."""
        return self.form in _INDEXED

    @property
    def tail(self) -> int | None:
        """Return the byte from which a format that is made to be cut may be damaged, or None."""
        return self.container.size - _BLOCKS if self.form in _STREAMED else None

    @property
    def rate(self) -> float:
        """Return the average frames a second that the header states or the first frames show."""
        rates = (self.stream.average_rate, self.stream.guessed_rate)
        return next((float(rate) for rate in rates if rate and 0 < rate <= 1000), 0.0)

    @property
    def duration(self) -> float:
        """Return the seconds that the header states, or 0."""
        own, unit = self.stream.duration, self.stream.time_base
        if own and unit:
            return float(own * unit)
        return (self.container.duration or 0) / av.time_base

    def clock(self) -> Clock:
        """Return a clock for the frames that are read next."""
        origin, zero = self._start()
        unit = float(self.stream.time_base or 1)
        return Clock(unit, origin, zero, self.rate, counted=self.form == "avi")

    def seek(self, time: float) -> bool:
        """Go to a key packet from before `time`; return whether there is one."""
        origin, zero = self._start()
        unit = self.stream.time_base or 1
        self.codec.flush_buffers()
        try:
            self.container.seek(origin + int((time + zero) / unit), stream=self.stream)
        except av.FFmpegError:
            return False
        return True

    def _start(self) -> tuple[int, float]:
        """Return a player's 0:00 as a stamp of the video, and seconds more.

        The container's start is rounded to microseconds; the picture's, where it comes first, is
        not.
        """
        start = (self.container.start_time or 0) / av.time_base
        first, unit = self.stream.start_time, self.stream.time_base
        if first is not None and unit and abs(float(first * unit) - start) < 2 / av.time_base:
            return first, 0.0
        return 0, start

    def packets(self) -> Iterator[tuple[Packet | None, str]]:
        """Yield (packet, what is wrong with it or ""); the last packet is None."""
        packets = self.container.demux(self.stream)
        while True:
            _HEARD.clear()
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                yield None, _reason(error)
                return
            # A demuxer reports what it jumped over; the parsers that it asks do not matter.
            fault = self._heard(lambda component, _: component == self.form) if _HEARD else ""
            if packet is None or (packet.dts is None and not packet.size):
                yield None, fault
                return
            if packet.is_corrupt:
                fault = "a packet is cut off or out of sequence"
            elif packet.pos in self._numbers and self._numbers[packet.pos] != packet.dts:
                fault = "packets that the index lists are missing"
            if packet.size:  # AVI has empty ones for frames that were dropped
                self.packets_read += 1
                yield packet, fault

    def skip_frames(self, skip: bool) -> None:
        """Have the decoder leave out frames that no other depends on, where it knows them."""
        if self.codec.name in _SKIPPING:
            self.codec.skip_frame = "NONREF" if skip else "DEFAULT"

    def decode(self, packet: Packet | None) -> tuple[list[VideoFrame], str]:
        """Return the frames that come out, and what is wrong or ""; None brings out the rest."""
        _HEARD.clear()
        try:
            frames = self.codec.decode(packet)
        except EOFError:
            return [], ""
        except av.FFmpegError as error:
            return [], _reason(error)
        if not _HEARD:
            return frames, ""
        # A decoder that fails on the last packets would hide it behind the frames it still has.
        serious = packet is None or self.codec.name in _UNFLAGGED
        return frames, self._heard(lambda _, text: serious or bool(_BASELESS.search(text)))

    def lacks(self) -> str:
        """Return what its index lists and was not there, after all was read, or ""."""
        if self.form not in _LISTING:
            return self._short
        listed = sum(1 for entry in self.stream.index_entries if entry.size)
        if self.packets_read >= listed:
            return ""
        return f"{self.packets_read} of the {count(listed, 'frame')} in its index are there"

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def _heard(self, is_damage: Callable[[str, str], bool]) -> str:
        """Return the first message that means damage, or "" and note that there were others."""
        for _, component, text in _HEARD:
            if is_damage(component, text):
                return text.strip()
        self.harmless += len(_HEARD)
        self.last_harmless = f"{component}: {text.strip()}"
        return ""


def _choose(container: InputContainer) -> VideoStream:
    """Return the stream that players show: the first that is no cover picture, or the default."""
    aside = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    streams = [stream for stream in container.streams.video if not stream.disposition & aside]
    if not streams:
        raise BadVideo("holds no video stream")
    marked = (stream for stream in streams if stream.disposition & Disposition.default)
    return next(marked, streams[0])


def _decoder(container: InputContainer, stream: VideoStream, path: Path) -> VideoCodecContext:
    codec: VideoCodecContext | None = stream.codec_context
    if codec is None:
        name = _codec_name(container)
        raise BadVideo(
            f"is coded as {name}, which this build of FFmpeg cannot decode: {convert_command(path)}"
        )
    codec.thread_count = 1  # the processes are the parallelism, and frames come in one order
    codec.options = {
        "max_pixels": _OPTIONS["max_pixels"],
        **(_FAIL if codec.name in _SILENT else {}),
    }
    return codec


def _codec_name(container: InputContainer) -> str:
    """Return the codec that FFmpeg lists: PyAV forgets its name where there is no decoder."""
    av.logging.set_level(av.logging.INFO)
    listing = container.dumps_format()  # type: ignore[attr-defined]
    av.logging.set_level(av.logging.ERROR)
    found = re.search(r"Video: ([^,\n]+)", listing)
    return found[1].strip() if found else "an unknown codec"


def _reason(error: av.FFmpegError) -> str:
    """Return FFmpeg's last message, which says more than the code, or the code's text."""
    log: Any = error.log  # (level, component, message), which PyAV's stub has otherwise
    return str(log[2].strip() if log else error.strerror)
