"""Spans are cut by the times that a player shows, in every container, and never hold other frames.

The frames of a span are those of the whole video whose times lie in it, bit for bit.
"""

import zlib
from fractions import Fraction

import pytest

from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.decoder.video import Video, open_video
from helpers.videos import avi, encode, number_of, packed_divx, remux

OPEN = "open-gop=1:keyint=12:bframes=3"
CODECS = {
    "h264": ("libx264", {"options": {"g": "12", "bf": "3"}}),
    "h264 open": ("libx264", {"options": {"x264-params": OPEN}}),
    "h264 intra refresh": ("libx264", {"options": {"x264-params": "intra-refresh=1:bframes=0"}}),
    "hevc open": ("libx265", {"options": {"x265-params": f"log-level=none:{OPEN}"}}),
    "mpeg4": ("mpeg4", {"options": {"g": "12", "bf": "2"}}),
    "mpeg2": ("mpeg2video", {"options": {"g": "12", "bf": "2"}}),
    "vp9": ("libvpx-vp9", {"options": {"g": "12", "lag-in-frames": "8"}}),
    "flv1": ("flv", {"options": {"g": "12"}}),
    "wmv2": ("wmv2", {"options": {"g": "12"}}),
    "mjpeg": ("mjpeg", {}),
    "qtrle": ("qtrle", {"pixels": "rgb24"}),
    "cinepak": ("cinepak", {"pixels": "rgb24"}),
}
PLACES = [
    *((name, suffix) for name in ("h264", "h264 open") for suffix in (".mp4", ".mkv", ".ts")),
    *(("h264 open", suffix) for suffix in (".avi", ".flv", ".mov")),
    *(("h264", ".3gp"), ("h264 intra refresh", ".ts"), ("h264 intra refresh", ".mp4")),
    *(("hevc open", suffix) for suffix in (".mp4", ".mkv", ".ts")),
    *(("mpeg4", suffix) for suffix in (".avi", ".mkv", ".mp4")),
    *(("mpeg2", suffix) for suffix in (".mpg", ".ts", ".avi")),
    *(("vp9", ".webm"), ("flv1", ".flv"), ("wmv2", ".asf"), ("mjpeg", ".avi")),
    *(("qtrle", ".mov"), ("cinepak", ".avi")),
]
SPANS = [(0, 0.52), (0.4, 0.8), (1.0, 1.04), (1.16, 2.0), (2.5, 3.3), (3.0, 99)]


def frames(path, start=0.0, end=float("inf")):
    with open_video(path) as video:
        return [
            (round(frame.time, 4), number_of(frame.image), zlib.crc32(frame.image))
            for frame in video.frames(start, end)
        ]


def numbers(path, start, end=float("inf")):
    return [number for _, number, _ in frames(path, start, end)]


@pytest.mark.parametrize(("name", "suffix"), PLACES, ids=["".join(place) for place in PLACES])
def test_a_span_holds_the_frames_of_the_whole_video(tmp_path, name, suffix):
    codec, settings = CODECS[name]
    path = encode(tmp_path / f"a{suffix}", codec, 90, **settings)
    whole = frames(path)
    assert [(time, number) for time, number, _ in whole] == [(i / 25, i) for i in range(90)]
    for start, end in SPANS:
        assert frames(path, start, end) == [row for row in whole if start <= row[0] < end]


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv", ".ts"])
def test_what_is_far_before_a_span_is_not_decoded(tmp_path, suffix, monkeypatch):
    path = encode(tmp_path / f"a{suffix}", "libx264", 200, options={"g": "12"})
    sent = []
    monkeypatch.setattr(
        "actionrec.frames.decoder.container.Input.decode",
        lambda self, packet: (sent.append(packet), (self.codec.decode(packet), ""))[1],
    )
    assert numbers(path, 7.0, 7.2) == [175, 176, 177, 178, 179]
    assert len(sent) < 80


def test_packed_b_frames_are_counted_as_shown(tmp_path):
    path = packed_divx(tmp_path / "a.avi", 91)
    assert numbers(path, 1, 1.2) == [25, 26, 27, 28, 29]
    assert numbers(path, 2.92, 3) == [73, 74]


def test_frames_that_an_avi_dropped_take_their_time(tmp_path):
    plain = encode(tmp_path / "plain.avi", "mjpeg", 10)
    kept = []
    remux(plain, tmp_path / "b.avi", lambda index, data: kept.append(data) or data)
    dropped = [part for data in kept for part in (data, b"", b"")]
    path = tmp_path / "a.avi"
    path.write_bytes(avi(dropped, fourcc=b"MJPG", rate=25))
    assert [time for time, _, _ in frames(path)] == [3 * index / 25 for index in range(10)]
    assert numbers(path, 0.3, 0.7) == [3, 4, 5]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".3gp", ".flv", ".ts"])
def test_variable_rate(tmp_path, suffix):
    times = (
        [0.1 * i for i in range(20)] + [2 + i for i in range(6)] + [8 + 0.05 * i for i in range(30)]
    )
    path = encode(tmp_path / f"a{suffix}", "libx264", len(times), times=times, options={"g": "9"})
    with open_video(path) as video:
        seen = [frame.time for frame in video.frames()]
        assert video.variable_rate
    assert seen == pytest.approx(times, abs=0.002)
    for start, end in ((0, 1), (1.5, 4), (3.5, 5.5), (7, 8.5), (8.2, 8.3)):
        assert numbers(path, start, end) == [
            index for index, time in enumerate(times) if start - 0.005 <= time < end - 0.005
        ]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts"])
def test_a_picture_that_starts_after_its_sound_is_late(tmp_path, suffix):
    times = [2 + index / 25 for index in range(50)]
    path = encode(tmp_path / f"a{suffix}", "libx264", 50, times=times, sound=4)
    assert frames(path)[0][0] == pytest.approx(2, abs=0.03)
    assert numbers(path, 3, 3.2) == [25, 26, 27, 28, 29]
    assert numbers(path, 0, 2.2)[0] == 0


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mpg", ".flv"])
@pytest.mark.parametrize("shift", [100.0, 0.48])
def test_stamps_that_do_not_start_at_zero_do_not_matter(tmp_path, suffix, shift):
    plain = encode(tmp_path / f"plain{suffix}", "mpeg2video" if suffix != ".flv" else "flv", 50)
    path = remux(plain, tmp_path / f"a{suffix}", shift=shift)
    assert frames(path)[0][:2] == (0, 0)
    assert numbers(path, 1, 1.2) == [25, 26, 27, 28, 29]


def test_negative_stamps(tmp_path):
    """As B-frames give them without an edit list."""
    options = {"use_editlist": "0", "movflags": "negative_cts_offsets"}
    path = encode(tmp_path / "a.mp4", "libx264", 50, options={"bf": "3"}, container=options)
    assert frames(path)[0][:2] == (0, 0)
    assert numbers(path, 1, 1.2) == [25, 26, 27, 28, 29]


def test_times_start_at_what_an_edit_list_shows_first(tmp_path):
    plain = encode(tmp_path / "plain.mp4", "libx264", 75, options={"g": "25", "bf": "2"})
    path = remux(plain, tmp_path / "a.mp4", shift=-1.4)  # as `ffmpeg -ss 1.4 -c copy` does
    shown = [number for _, number, _ in frames(path)]
    assert shown == list(range(35, 75))
    assert numbers(path, 0, 0.2) == [35, 36, 37, 38, 39]
    assert numbers(path, 1, 1.2) == [60, 61, 62, 63, 64]


def test_joined_recordings_go_on(tmp_path):
    """The stamps of the second start again; a player's clock does not."""
    part = encode(tmp_path / "part.mpg", "mpeg2video", 50, options={"g": "5"})
    path = tmp_path / "a.mpg"
    path.write_bytes(part.read_bytes() * 2)
    assert [row[0] for row in frames(path)] == pytest.approx([i / 25 for i in range(100)], abs=0.05)
    assert numbers(path, 3, 3.2) == numbers(path, 1, 1.2)
    assert len(numbers(path, 3, 3.2)) == 5


def test_times_with_few_digits_still_count(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", 60, rate=Fraction(30000, 1001))
    assert numbers(path, 1.001, 1.1) == [30, 31, 32]  # 1.0010, 1.0344, 1.0677
    assert numbers(path, 1.0, 1.1) == [30, 31, 32]
    assert numbers(path, 1.003, 1.1) == [30, 31, 32]
    assert numbers(path, 1.01, 1.1) == [31, 32]


def test_a_span_without_a_frame_is_named(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", 25)
    with pytest.raises(BadVideo, match=r"has no frame at 3 to 4 s: the video lasts 1\.0 s"):
        numbers(path, 3, 4)


def test_an_index_that_leads_to_wrong_places_is_not_believed(tmp_path):
    """Without one, FFmpeg takes every packet of some codecs for a key packet."""
    path = encode(tmp_path / "a.avi", "msmpeg4", 90, options={"g": "30"})
    whole = frames(path)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"idx1")])
    assert frames(path) == whole
    assert frames(path, 2, 2.2) == whole[50:55]


def test_damage_long_before_a_span_does_not_matter(tmp_path):
    path = encode(tmp_path / "a.mpg", "mpeg2video", 100, options={"g": "10"})
    whole = frames(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 4 + 300] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(BadVideo, match="is damaged after"):
        frames(path)
    assert frames(path, 3, 3.2) == whole[75:80]


def test_remarks_of_a_span_count_nothing_as_missing(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", 50)
    with open_video(path) as video:
        assert isinstance(video, Video)
        assert len(list(video.frames(1.0))) == 25
        assert video.remarks() == []
