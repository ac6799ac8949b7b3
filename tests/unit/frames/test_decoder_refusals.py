"""Videos as OpenCV writes them are decoded whole, or refused with a reason."""

import struct
import subprocess
import sys
import wave

import cv2
import numpy as np
import pytest

from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.decoder.video import open_video
from helpers import REPOSITORY, decode, write_video


def read_with_opencv(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = capture.read()
        if not ok:
            return frames
        frames.append(frame)


def state_frames(path, extra):
    """Raise the frame counts that an AVI's headers state by `extra`."""
    data = bytearray(path.read_bytes())
    for chunk, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = data.index(chunk) + offset
        struct.pack_into("<I", data, at, struct.unpack_from("<I", data, at)[0] + extra)
    path.write_bytes(data)
    return path


def sound_only_avi(path):
    """Write an AVI whose only stream is a second of silence."""

    def chunk(name, data):
        return name + struct.pack("<I", len(data)) + data

    main = struct.pack("<14I", 0, 8000, 0, 0x10, 1, 0, 1, 8000, 0, 0, 0, 0, 0, 0)
    header = b"auds" + struct.pack("<11I", 0, 0, 0, 0, 1, 8000, 0, 8000, 8000, 0, 1) + bytes(8)
    pcm = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    stream = chunk(b"LIST", b"strl" + chunk(b"strh", header) + chunk(b"strf", pcm))
    lists = chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + stream)
    lists += chunk(b"LIST", b"movi" + chunk(b"00wb", bytes([128]) * 8000))
    path.write_bytes(chunk(b"RIFF", b"AVI " + lists))
    return path


def wav(path):
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    return path


@pytest.mark.parametrize(
    ("name", "fourcc"),
    [
        ("a.avi", "XVID"),
        ("a.avi", "MJPG"),
        ("a.mp4", "mp4v"),
        ("a.mov", "mp4v"),
        ("a.mkv", "mp4v"),
        ("a.webm", "VP80"),
        ("a.MP4", "mp4v"),
    ],
)
def test_decodes_every_container_as_opencv_does(tmp_path, name, fourcc):
    video = write_video(tmp_path / name, frames=12, fourcc=fourcc)
    frames = decode(video)
    assert len(frames) == 12
    assert frames[0].shape == (48, 64, 3)
    assert np.array_equal(frames, read_with_opencv(video))


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def text(path):
    path.write_text("not a video\n")
    return path


def playlist(path):
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    return path


BROKEN = {
    "zero bytes": (lambda p: p.touch() or p, "is empty"),
    "text": (text, "no video stream"),
    "playlist": (playlist, "no video stream"),
    "sound in AVI": (sound_only_avi, "no video stream"),
    "WAV": (wav, "no video stream"),
    "truncated": (lambda p: cut(write_video(p, frames=30), 0.7), "is damaged after|breaks off"),
    "header alone": (
        lambda p: cut(write_video(p, frames=30), 0.2),
        r"it is cut off, \d+ of \d+ bytes are there",
    ),
    "no picture": (lambda p: write_video(p, frames=0), "no video stream|no frame"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_video_is_refused_with_its_reason(tmp_path, kind):
    make, reason = BROKEN[kind]
    with pytest.raises(BadVideo, match=reason):
        decode(make(tmp_path / "broken.avi"))


@pytest.mark.parametrize(("name", "fourcc"), [("a.mkv", "mp4v"), ("a.webm", "VP80")])
def test_truncated_matroska_is_refused(tmp_path, name, fourcc):
    video = cut(write_video(tmp_path / name, frames=30, fourcc=fourcc), 0.5)
    with pytest.raises(BadVideo, match=r"breaks off: .*ended prematurely|is damaged after"):
        decode(video)


def flip_bits(path):
    data = bytearray(path.read_bytes())
    start = data.index(b"movi")
    for position in np.random.default_rng(1).integers(start, len(data) - 1200, 400):
        data[position] ^= 1 << position % 8
    path.write_bytes(data)
    return path


def test_flipped_bits_that_stop_the_decoder_are_noticed(tmp_path):
    video = flip_bits(write_video(tmp_path / "flipped.avi", frames=60, width=160, height=120))
    assert len(read_with_opencv(video)) < 59
    with pytest.raises(BadVideo, match=r"is damaged after \d+ frames.* \(mpeg4\): "):
        decode(video)


def test_size_left_open_by_a_streaming_writer_is_no_truncation(tmp_path):
    video = write_video(tmp_path / "streamed.avi")
    data = bytearray(video.read_bytes())
    data[4:8] = b"\xff" * 4
    video.write_bytes(data)
    assert len(decode(video)) == 10


@pytest.mark.parametrize("extra", [1, 2, 50])
def test_headers_that_count_too_many_frames_refuse_nothing(tmp_path, extra):
    video = state_frames(write_video(tmp_path / "divx.avi"), extra)
    with open_video(video) as opened:
        assert opened.header_frames == 10 + extra
        assert len(list(opened.frames())) == 10
        assert opened.remarks() == [f"header counts {extra} more than the frames shown"]


def test_ffmpeg_says_nothing_on_the_terminal(tmp_path):
    flip_bits(write_video(tmp_path / "flipped.avi", frames=60, width=160, height=120))
    text(tmp_path / "text.avi")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from actionrec.frames.decoder.faults import BadVideo\n"
        "from actionrec.frames.decoder.video import open_video\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        with open_video(Path(name)) as video: list(video.frames())\n"
        "    except BadVideo as error: print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "flipped.avi", "text.avi"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(REPOSITORY / "workflow/scripts")},
    )
    assert run.stderr == ""
    assert len(run.stdout.splitlines()) == 2
