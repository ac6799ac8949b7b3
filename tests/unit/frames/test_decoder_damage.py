"""What is damaged is refused with the codec, the frame and the reason; what a player shows is not.

Header fields are hints: what they count or measure refuses nothing.
"""

import struct

import av
import numpy as np
import pytest

from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.decoder.video import open_video
from helpers.videos import avi, encode, number_of, packed_divx, remux


def read(path):
    """Return the numbers of a video's frames and the remarks."""
    with open_video(path) as video:
        return [number_of(frame.image) for frame in video.frames()], video.remarks()


def images(path):
    with open_video(path) as video:
        return [frame.image for frame in video.frames()]


def shown(path):
    return read(path)[0]


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def zeroed(path, share, size):
    data = bytearray(path.read_bytes())
    start = int(len(data) * share)
    data[start : start + size] = bytes(size)
    path.write_bytes(data)
    return path


_MADE: dict[str, bytes] = {}


def long(path, codec, frames=100, **settings):
    """Write a video large enough for a hole in it to leave the header alone."""
    options = {"b": "1M", "g": "12", **settings.pop("options", {})} if frames == 100 else {}
    settings = {"width": 160, "height": 120, **settings}
    key = repr((path.suffix, codec, frames, options, settings))
    if key not in _MADE:
        _MADE[key] = encode(path, codec, frames, options=options, **settings).read_bytes()
    path.write_bytes(_MADE[key])
    return path


FASTSTART = {"movflags": "faststart"}
CUT_OFF = [
    ("a.avi", "mpeg4", {}),
    ("a.avi", "mjpeg", {}),
    ("a.mp4", "libx264", {"container": FASTSTART}),
    ("a.mov", "mpeg4", {"container": FASTSTART}),
    ("a.mp4", "libx265", {"container": {"movflags": "frag_keyframe+empty_moov"}}),
    ("a.mkv", "libx264", {}),
    ("a.webm", "libvpx", {}),
    ("a.webm", "libvpx-vp9", {}),
    ("a.flv", "flv", {}),
    ("a.mkv", "ffv1", {}),
]


@pytest.mark.parametrize(("name", "codec", "settings"), CUT_OFF)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused(tmp_path, name, codec, settings, share):
    path = cut(long(tmp_path / name, codec, **settings), share)
    with pytest.raises(BadVideo, match=r"is damaged after \d+ frames?|breaks off: "):
        read(path)


def test_a_file_that_is_cut_off_between_two_frames_is_refused_by_its_index(tmp_path):
    path = encode(tmp_path / "a.mp4", "mjpeg", 10, container=FASTSTART)
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    ends = [at + 2 for at in range(start, len(data)) if data[at : at + 2] == b"\xff\xd9"]
    path.write_bytes(data[: ends[4]])
    with pytest.raises(BadVideo, match=r"breaks off: 5 of the 10 frames in its index are there"):
        read(path)


def test_a_file_without_its_index_at_the_end_is_refused(tmp_path):
    with pytest.raises(BadVideo, match="holds no video stream: moov atom not found"):
        read(cut(encode(tmp_path / "a.mp4", "libx264"), 0.5))


@pytest.mark.parametrize("name", ["a.ts", "a.mpg"])
def test_formats_that_are_made_to_be_cut_lose_their_last_frame(tmp_path, name):
    path = long(tmp_path / name, "mpeg2video")
    whole = images(path)
    data = path.read_bytes()
    for share in (0.502, 0.504, 0.506, 0.508, 0.51):
        path.write_bytes(data[: int(len(data) * share)])
        found = images(path)
        assert 40 < len(found) < 60
        assert all(map(np.array_equal, found, whole))


def test_a_cut_end_is_remarked_on(tmp_path):
    _, remarks = read(cut(long(tmp_path / "a.mpg", "mpeg2video"), 0.5))
    assert remarks[0] == "its end is cut off, and what is damaged of it left out"


HOLES = [
    ("a.avi", "mpeg4", {"options": {"bf": "1"}}),
    ("a.avi", "mjpeg", {}),
    ("a.avi", "msmpeg4", {}),
    ("a.mp4", "libx264", {}),
    ("a.mkv", "libx264", {}),
    ("a.ts", "libx264", {}),
    ("a.mp4", "libx265", {}),
    ("a.ts", "libx265", {}),
    ("a.ts", "mpeg2video", {}),
    ("a.mpg", "mpeg2video", {}),
    ("a.webm", "libvpx", {}),
    ("a.webm", "libvpx-vp9", {}),
    ("a.flv", "flv", {}),
    ("a.asf", "wmv2", {}),
    ("a.mkv", "ffv1", {}),
    ("a.avi", "dvvideo", {"frames": 8, "width": 720, "height": 576, "pixels": "yuv420p"}),
]


@pytest.mark.parametrize(("name", "codec", "settings"), HOLES)
@pytest.mark.parametrize("size", [700, 6000])
def test_a_hole_is_noticed(tmp_path, name, codec, settings, size):
    if codec.startswith("libvpx") and size == 700:
        pytest.skip("VP8 and VP9 decode whatever is inside a packet")
    path = zeroed(long(tmp_path / name, codec, **settings), 0.5, size)
    with pytest.raises(BadVideo, match=r"is damaged after \d+ frames?.* \(\w+\): \S|breaks off"):
        read(path)


def test_the_message_tells_the_frame_the_time_and_the_codec(tmp_path):
    path = long(tmp_path / "a.mp4", "mpeg4")
    message = r"is damaged after (\d+) frames, at (\S+) s \(mpeg4\): \S"
    with pytest.raises(BadVideo, match=message) as told:
        read(zeroed(path, 0.5, 6000))
    words = str(told.value).split()
    assert abs(float(words[6]) - (int(words[3]) - 1) / 25) < 0.05


def test_frames_before_the_damage_are_right(tmp_path):
    path = zeroed(long(tmp_path / "a.mp4", "mpeg4"), 0.5, 3000)
    numbers = []
    with open_video(path) as video, pytest.raises(BadVideo):
        for frame in video.frames():
            numbers.append(number_of(frame.image))
    assert numbers == list(range(len(numbers)))


def rewritten(path, **changes):
    """Change fields of an AVI: its size, its frame counts, its index."""
    data = bytearray(path.read_bytes())
    if "size" in changes:
        struct.pack_into("<I", data, 4, changes["size"])
    if "count" in changes:
        for chunk, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
            struct.pack_into("<I", data, data.index(chunk) + offset, changes["count"])
    if changes.get("index") is False:
        data = data[: data.rindex(b"idx1")]
    path.write_bytes(data)
    return path


AVIS = {
    "size of a longer file": {"size": 10**8},
    "size 0": {"size": 0},
    "size unknown": {"size": 0xFFFFFFFF},
    "no index": {"index": False},
    "no index and size": {"index": False, "size": 10**8},
    "count of more frames": {"count": 500},
    "count of fewer frames": {"count": 5},
    "count 0": {"count": 0},
}


@pytest.mark.parametrize("kind", AVIS)
@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg", "packed"])
def test_avi_headers_that_are_wrong_refuse_nothing(tmp_path, kind, codec):
    path = tmp_path / "a.avi"
    if codec == "packed":
        packed_divx(path, 31)
    else:
        encode(path, codec, 31)
    assert shown(rewritten(path, **AVIS[kind])) == list(range(31))


def test_sound_that_lasts_longer_refuses_nothing(tmp_path):
    for suffix in (".mkv", ".mpg", ".ts", ".mp4", ".avi"):
        codec = "mpeg2video" if suffix in (".mpg", ".ts") else "mpeg4"
        path = encode(tmp_path / f"a{suffix}", codec, 20, sound=6)
        assert read(path) == (list(range(20)), []), suffix


def test_a_live_recording_without_length_or_index(tmp_path):
    for name, options in (("a.mkv", {"live": "1"}), ("a.webm", {"live": "1"})):
        codec = "libx264" if name == "a.mkv" else "libvpx"
        path = encode(tmp_path / name, codec, 40, container=options)
        assert read(path) == (list(range(40)), [])


OPEN = "open-gop=1:keyint=12:bframes=3:min-keyint=12:scenecut=0"
GOPS = {
    "h264": ("libx264", {"x264-params": OPEN}),
    "hevc": ("libx265", {"x265-params": f"log-level=none:{OPEN}"}),
    "mpeg2": ("mpeg2video", {"g": "12", "bf": "2"}),
}


@pytest.mark.parametrize("name", GOPS)
@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4"])
def test_a_cut_at_an_open_group_leaves_out_what_needs_frames_from_before(tmp_path, name, suffix):
    codec, options = GOPS[name]
    whole = encode(tmp_path / f"whole{suffix}", codec, 60, options=options)
    numbers = shown(whole)
    assert numbers == list(range(60))
    path = remux(whole, tmp_path / f"a{suffix}", after_key(whole, 2))
    kept, remarks = read(path)
    assert kept == numbers[kept[0] :]
    assert kept[0] in (22, 23, 24, 25, 26)
    assert not [remark for remark in remarks if "FFmpeg" in remark]


def after_key(path, which):
    """Return a change for `remux` that leaves out what comes before the `which`th key packet."""
    with av.open(str(path)) as given:
        sent = [packet for packet in given.demux(given.streams.video[0]) if packet.size]
    first = [index for index, packet in enumerate(sent) if packet.is_keyframe][which]
    return lambda index, data: data if index >= first else None


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".ts"), ("mpeg2video", ".ts")])
def test_a_recording_that_starts_between_key_frames(tmp_path, codec, suffix):
    whole = encode(tmp_path / f"whole{suffix}", codec, 60, options={"g": "12", "bf": "2"})
    path = remux(whole, tmp_path / f"a{suffix}", lambda index, data: data if index >= 5 else None)
    numbers, remarks = read(path)
    assert numbers == list(range(numbers[0], 60))
    assert 10 <= numbers[0] <= 15
    early = {"libx264": 7, "mpeg2video": 5}[codec]
    assert remarks == [f"{early} frames are left out before its first key frame"]


def test_a_video_of_no_frame(tmp_path):
    path = tmp_path / "a.avi"
    path.write_bytes(avi([]))
    with pytest.raises(BadVideo, match=r"no frame that can be decoded|no video stream"):
        read(path)


HARMLESS = {
    "cut-off comment": ("h264.mp4", "libx264", lambda data: nal(b"\6\5\xc8" + b"abc" * 5) + data),
    "padding": ("mpeg2.ts", "mpeg2video", lambda data: data + bytes(50)),
    "filler": ("h264.mp4", "libx264", lambda data: data + nal(b"\x0c\xff\xff\x80")),
    "no end mark": ("mjpeg.avi", "mjpeg", lambda data: data[: data.rindex(b"\xff\xd9")]),
    "junk after it": ("mjpeg.avi", "mjpeg", lambda data: data + bytes(37)),
    "odd field": ("mjpeg.avi", "mjpeg", lambda data: data[:2] + b"\xff\xe1\0\3\1" + data[2:]),
    "user data": ("mpeg4.avi", "mpeg4", lambda data: b"\0\0\1\xb2some tool" + data),
}


def nal(data):
    return struct.pack(">I", len(data)) + data


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_players_ignore_is_ignored(tmp_path, kind):
    name, codec, change = HARMLESS[kind]
    whole = encode(tmp_path / f"whole.{name}", codec, 20)
    path = remux(whole, tmp_path / name, lambda index, data: change(data))
    assert shown(path) == list(range(20))


def test_what_ffmpeg_says_of_whole_frames_is_remarked_on(tmp_path):
    name, codec, change = HARMLESS["cut-off comment"]
    whole = encode(tmp_path / "whole.mp4", codec, 20)
    _, remarks = read(remux(whole, tmp_path / name, lambda index, data: change(data)))
    assert len(remarks) == 1
    assert remarks[0].startswith("FFmpeg reports h264: SEI type 5 size 200 truncated at ")


def test_a_video_whose_container_marks_no_key_frame_is_read(tmp_path):
    plain = encode(tmp_path / "a.avi", "msmpeg4", 20, options={"g": "5"})
    path = remux(plain, tmp_path / "a.mkv", keys=False)
    with av.open(str(path)) as container:
        assert not any(packet.is_keyframe for packet in container.demux() if packet.size)
    assert shown(path) == list(range(20))
    assert shown(plain) == list(range(20))
