"""Two hundred damaged videos: no crash, no hang, no frame that FFmpeg itself calls damaged.

The decoder runs in child processes, so that a crash of FFmpeg is a failed test and names the file.
"""

import multiprocessing
import random
import resource
import zlib
from pathlib import Path

import av
import pytest

from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.decoder.video import open_video
from helpers.videos import encode

VIDEOS = {
    "mpeg4.avi": ("mpeg4", {"options": {"bf": "1"}}),
    "mjpeg.avi": ("mjpeg", {}),
    "h264.mp4": ("libx264", {}),
    "h264.ts": ("libx264", {}),
    "hevc.mkv": ("libx265", {}),
    "mpeg2.mpg": ("mpeg2video", {"options": {"bf": "2"}}),
    "vp8.webm": ("libvpx", {}),
    "vp9.webm": ("libvpx-vp9", {}),
    "av1.mp4": ("libsvtav1", {}),
    "flv1.flv": ("flv", {}),
    "wmv2.asf": ("wmv2", {}),
    "ffv1.mkv": ("ffv1", {}),
}
KINDS = ("flip", "cut", "zero", "head", "insert")
EACH = 17  # of twelve codecs: more than 200
SECONDS = 20  # for one video of twelve frames: it takes some milliseconds
MEMORY = 8 << 30  # address space


def mutated(data: bytes, kind: str, chance: random.Random) -> bytes:
    made, size = bytearray(data), len(data)
    if kind == "cut":
        return data[: chance.randrange(1, size)]
    if kind == "zero":
        length = min(chance.choice((16, 188, 512, 4096)), size)
        start = chance.randrange(size - length + 1)
        made[start : start + length] = bytes(length)
    elif kind == "insert":
        start = chance.randrange(size)
        made[start:start] = chance.randbytes(chance.choice((1, 7, 300)))
    else:
        end = min(size, 700) if kind == "head" else size
        for _ in range(chance.choice((1, 4, 30))):
            made[chance.randrange(end)] = chance.randrange(256)
    return bytes(made)


def usable_by_ffmpeg(path: Path) -> set[int]:
    """Return the checksums of all frames that FFmpeg decodes without calling them damaged."""
    found = set()
    reformatter = av.video.reformatter.VideoReformatter()
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # damaged frames differ by it
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    continue
                for frame in frames:
                    if not frame.is_corrupt:
                        bgr = reformatter.reformat(
                            frame, format="bgr24", interpolation="BICUBIC", threads=1
                        )
                        found.add(zlib.crc32(bgr.to_ndarray().copy()))
    except (av.FFmpegError, IndexError, AttributeError):
        pass
    return found


def examine(path: Path, seeds: list[int], told: multiprocessing.SimpleQueue) -> None:
    """Decode mutations of a video, telling first which one comes next, then what it used."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    data = path.read_bytes()
    for seed in seeds:
        told.put((seed, "begun"))
        file = path.with_name(f"{seed}{path.suffix}")
        file.write_bytes(mutated(data, KINDS[seed % len(KINDS)], random.Random(seed)))
        used = []
        try:
            with open_video(file, interlaced="weave") as video:
                used = [zlib.crc32(frame.image) for frame in video.frames()]
        except BadVideo:
            pass
        foreign = set(used) - usable_by_ffmpeg(file) if used else set()
        told.put((seed, f"used {len(foreign)} frames that FFmpeg calls damaged" if foreign else ""))


def outcome(path: Path, seeds: list[int]) -> list[str]:
    """Return what went wrong with the mutations of a video."""
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    child = context.Process(target=examine, args=(path, seeds, told), daemon=True)
    child.start()
    child.join(SECONDS * len(seeds) if len(seeds) == 1 else 5 * SECONDS)
    hangs = child.is_alive()
    if hangs:
        child.kill()
        child.join()
    last, faults = None, []
    while not told.empty():
        last = told.get()
        if last[1] not in ("", "begun"):
            faults.append(f"{path.name} {last[0]}: {last[1]}")
    if hangs or child.exitcode != 0:
        faults.append(f"{path.name} {last}: {'hangs' if hangs else f'exit {child.exitcode}'}")
    return faults


@pytest.fixture
def video(tmp_path, request, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "0")
    codec, settings = VIDEOS[request.param]
    return encode(tmp_path / request.param, codec, 12, **settings)


@pytest.mark.parametrize("video", VIDEOS, indirect=True)
def test_damaged_videos(video):
    assert outcome(video, list(range(EACH))) == []


@pytest.mark.slow
@pytest.mark.parametrize("video", VIDEOS, indirect=True)
def test_damaged_videos_one_process_each(video):
    for seed in range(1000, 1000 + EACH):
        assert outcome(video, [seed]) == []
