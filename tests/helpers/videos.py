"""Videos made on the fly with PyAV: any codec and container, any times, whole or damaged.

Each frame bears its number as a row of black and white squares, so that a test can tell which
frames it was given, however much a codec changed them.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np

SQUARE = 8  # pixels: survives every codec
BITS = 8
FAST = {
    "libx265": {"x265-params": "log-level=none", "preset": "ultrafast"},
    "libvpx": {"cpu-used": "8", "deadline": "realtime"},
    "libvpx-vp9": {"cpu-used": "8"},
}
MS = Fraction(1, 1000)


def draw(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """Return frame `number` of a test video, (height, width, RGB) uint8: a texture that moves."""
    y, x = np.mgrid[:height, :width]
    frame = np.empty((height, width, 3), np.uint8)
    frame[..., 0] = 128 + 100 * np.sin((x + 3 * number) / 7) * np.cos(y / 9)
    frame[..., 1] = 255 * x // max(1, width - 1)
    frame[..., 2] = 255 * y // max(1, height - 1)
    for bit in range(BITS):
        left = SQUARE * bit
        frame[-SQUARE:, left : left + SQUARE] = 255 if number >> bit & 1 else 0
    return frame


def number_of(frame: np.ndarray) -> int:
    """Return the number that `draw` wrote into a frame, in whatever order its channels are."""
    squares = frame[-SQUARE // 2 - 2 : -SQUARE // 2 + 2, : SQUARE * BITS].mean(axis=(0, 2))
    bits = squares.reshape(BITS, SQUARE)[:, 2:6].mean(axis=1) > 127
    return sum(1 << index for index, bit in enumerate(bits) if bit)


@contextmanager
def scheduled_as_before() -> Iterator[None]:
    """Undo that SVT-AV1, run by root, gives the process real-time priority.

    All that the process starts later would inherit it, and two busy trainings would stop the
    machine.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def encode(
    path: Path,
    codec: str = "mpeg4",
    frames: int | Iterable[np.ndarray] = 12,
    *,
    width: int = 96,
    height: int = 64,
    rate: int | Fraction = 25,
    pixels: str | None = None,
    times: Sequence[float] | None = None,
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
    tag: str | None = None,
    sound: float = 0.0,
    matrix: Sequence[int] | None = None,
    prepare: Callable[[Any], None] | None = None,
    convert: Callable[[av.VideoFrame], av.VideoFrame] | None = None,
) -> Path:
    """Write a video and return its path; `times` are the seconds at which its frames are shown.

    `sound` adds that many seconds of silence, which start at 0. `prepare` is called with the
    stream before it is opened, `convert` with each frame before it is encoded.
    """
    images = (draw(i, width, height) for i in range(frames)) if isinstance(frames, int) else frames
    path.parent.mkdir(parents=True, exist_ok=True)
    made = av.open(str(path), "w", container_options=dict(container or {}))
    with scheduled_as_before(), made as output:
        settings = {**FAST.get(codec, {}), **(options or {})}
        stream = output.add_stream(codec, rate=rate, options=settings)
        stream.width, stream.height = width, height
        if pixels or codec == "mjpeg":
            stream.pix_fmt = pixels or "yuvj420p"
        stream.codec_context.thread_count = 1  # the same bytes each time
        if tag:
            stream.codec_context.codec_tag = tag
        if times is not None:
            stream.codec_context.time_base = MS
        if matrix:
            stream.set_display_matrix(matrix)
        if prepare:
            prepare(stream)
        track = output.add_stream("mp2", rate=48000, layout="mono") if sound else None
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(1000 * times[index]), MS
            output.mux(stream.encode(convert(frame) if convert else frame))
        output.mux(stream.encode(None))
        if track:
            _add_silence(output, track, sound)
    return path


def moments(count, width=96, height=64):
    """Yield frames whose even lines are of one moment and whose odd ones of the next."""
    for index in range(count):
        frame = smooth(2 * index, width, height)
        frame[1::2] = smooth(2 * index + 1, width, height)[1::2]
        yield frame


def smooth(moment, width=96, height=64):
    """Return a picture of upright stripes that move by two pixels a moment."""
    x = np.arange(width) - 2 * moment
    line = np.stack([128 + 100 * np.sin(x / 5), np.full(width, 90), np.full(width, 160)], axis=-1)
    return np.broadcast_to(line, (height, width, 3)).astype(np.uint8).copy()


class FieldMarker:
    """Mark frames as interlaced, the top line first."""

    def __init__(self, rate=25):
        self.graph = None
        self.unit, self.count = 1 / Fraction(rate), 0

    def __call__(self, frame):
        if self.graph is None:
            self.graph = av.filter.Graph()
            source = self.graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=1
            )
            sink = self.graph.add("buffersink")
            self.graph.link_nodes(source, self.graph.add("setfield", mode="tff"), sink).configure()
        self.graph.push(frame)
        made = self.graph.pull()
        made.pts, made.time_base = self.count, self.unit
        self.count += 1
        return made


def encode_interlaced(path: Path, codec: str, count: int = 12, **settings: Any) -> Path:
    """Write a video of `moments`, marked as interlaced; `settings` are those of `encode`."""
    settings = {"width": 96, "height": 64, "rate": 25, **settings}
    frames = moments(count, settings["width"], settings["height"])
    return encode(path, codec, frames, convert=FieldMarker(settings["rate"]), **settings)


def _add_silence(output: Any, track: Any, seconds: float) -> None:
    for index in range(int(seconds * 48000 / 1152)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 1152 * index, Fraction(1, 48000)
        output.mux(track.encode(frame))
    output.mux(track.encode(None))


def remux(
    source: Path,
    target: Path,
    change: Callable[[int, bytes], bytes | None] = lambda index, data: data,
    *,
    shift: float = 0.0,
    keys: bool = True,
    container: Mapping[str, str] | None = None,
) -> Path:
    """Copy a video's packets to another file, each changed, or left out where that gives None.

    `shift` moves all times by so many seconds; without `keys`, no packet is marked as a key packet.
    """
    with (
        av.open(str(source)) as given,
        av.open(str(target), "w", container_options=dict(container or {})) as made,
    ):
        stream = given.streams.video[0]
        copy = made.add_stream_from_template(stream)
        for index, packet in enumerate(given.demux(stream)):
            data = change(index, bytes(packet)) if packet.size else None
            if data is None:
                continue
            fresh = av.Packet(data)
            offset = round(shift / packet.time_base)
            fresh.time_base, fresh.duration = packet.time_base, packet.duration
            fresh.pts = None if packet.pts is None else packet.pts + offset
            fresh.dts = None if packet.dts is None else packet.dts + offset
            fresh.is_keyframe, fresh.stream = packet.is_keyframe and keys, copy
            made.mux(fresh)
    return target


def packed_divx(path: Path, frames: int = 12, **settings: Any) -> Path:
    """Write an AVI as DivX 5 did HMDB51's: each B-frame packed into the packet of the next P-frame.

    A packet that holds no picture follows, and the second packet is a single byte.
    """
    plain = encode(path.with_suffix(".plain.avi"), frames=frames, options={"bf": "1"}, **settings)
    with av.open(str(plain)) as given:
        sent = [bytes(packet) for packet in given.demux(given.streams.video[0]) if packet.size]
    plain.unlink()
    vop, mark = b"\0\0\1\xb6", b"\0\0\1\xb2DivX503b1393p"
    key = sent[0].index(vop)
    chunks = [sent[0][:key] + mark + sent[0][key:], b"\x7f"]
    nothing = vop + b"\x57\xff\xff\xff"
    for first, second in zip(sent[1::2], [*sent[2::2], b""], strict=False):
        chunks += [first + second, nothing]
    width, height = settings.get("width", 96), settings.get("height", 64)
    path.write_bytes(avi(chunks, width, height, keys={0}, fourcc=b"DX50"))
    return path


def avi(
    chunks: Sequence[bytes],
    width: int = 96,
    height: int = 64,
    *,
    fourcc: bytes = b"XVID",
    rate: int = 25,
    keys: set[int] | None = None,
) -> bytes:
    """Return an AVI file of video packets, all key packets unless `keys` tells which are."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    count = len(chunks)
    main = struct.pack("<14I", 1000000 // rate, 0, 0, 0x10, count, 0, 1, 0, width, height, *[0] * 4)
    head = b"vids" + fourcc + struct.pack("<10I", 0, 0, 0, 1, rate, 0, count, 0, 0xFFFFFFFF, 0)
    form = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, fourcc, 0, 0, 0, 0, 0)
    lists = chunk(b"strh", head + struct.pack("<4H", 0, 0, width, height)) + chunk(b"strf", form)
    header = chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + chunk(b"LIST", b"strl" + lists))
    movie, index = b"movi", b""
    for number, data in enumerate(chunks):
        key = 0x10 if keys is None or number in keys else 0
        index += b"00dc" + struct.pack("<III", key, len(movie), len(data))
        movie += chunk(b"00dc", data)
    return chunk(b"RIFF", b"AVI " + header + chunk(b"LIST", movie) + chunk(b"idx1", index))
