"""Interlaced video shows the picture: made of one moment each frame, or woven as it is stored."""

from fractions import Fraction

import numpy as np
import pytest

from actionrec.frames.decoder.video import open_video
from helpers.videos import FieldMarker, draw, encode, encode_interlaced, moments, smooth

NTSC = Fraction(30000, 1001)
KINDS = {
    "mpeg2.mpg": ("mpeg2video", {"options": {"flags": "+ildct+ilme", "b": "4M"}}),
    "mpeg2.ts": ("mpeg2video", {"options": {"flags": "+ildct+ilme", "b": "4M"}}),
    "mpeg4.avi": ("mpeg4", {"options": {"flags": "+ildct+ilme", "b": "4M"}}),
    "h264.mts": ("libx264", {"options": {"x264-params": "tff=1", "crf": "10"}}),
    "h264.mp4": ("libx264", {"options": {"x264-params": "tff=1", "crf": "10"}}),
    "422.mov": ("mpeg2video", {"options": {"flags": "+ildct", "b": "8M"}, "pixels": "yuv422p"}),
    "dv.avi": ("dvvideo", {"pixels": "yuv420p", "width": 720, "height": 576}),
    "dv_ntsc.avi": ("dvvideo", {"pixels": "yuv411p", "width": 720, "height": 480, "rate": NTSC}),
}


def interlaced(path, kind, count=12):
    codec, settings = KINDS[kind]
    return encode_interlaced(path / kind, codec, count, **settings)


def read(path, **options):
    with open_video(path, pixels="rgb24", **options) as video:
        return [frame.image for frame in video.frames()], video


def off(image, wanted):
    return np.abs(image.astype(int) - wanted).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_frames_show_one_moment(tmp_path, kind):
    images, video = read(interlaced(tmp_path, kind))
    assert len(images) == 12
    assert video.interlaced_frames == 12
    assert video.remarks() == ["is interlaced: deinterlaced"]
    height, width = images[0].shape[:2]
    for index, image in enumerate(images[1:-1], 1):
        moment = min(off(image, smooth(2 * index + field, width, height)) for field in (0, 1))
        assert moment < 12  # 4:1:1 has a quarter of the colours


@pytest.mark.parametrize("kind", KINDS)
def test_woven_frames_are_as_stored(tmp_path, kind):
    images, video = read(interlaced(tmp_path, kind), interlaced="weave")
    assert video.remarks() == ["is interlaced: its fields are woven"]
    height, width = images[0].shape[:2]
    stored = list(moments(12, width, height))
    for image, wanted in zip(images, stored, strict=True):
        assert off(image, wanted) < 12


def test_nothing_of_another_video_comes_through(tmp_path):
    """Memory that was not written would hold the pixels of the video before."""
    first = encode(tmp_path / "white.mp4", "libx264", [np.full((64, 96, 3), 255, np.uint8)] * 9)
    path = interlaced(tmp_path, "h264.mp4")
    before, _ = read(path)
    read(first)
    after, _ = read(path)
    assert all(map(np.array_equal, before, after))


@pytest.mark.parametrize("kind", ["mpeg2.mpg", "mpeg4.avi", "h264.mp4"])
def test_a_span_is_deinterlaced_as_the_whole_is(tmp_path, kind):
    path = interlaced(tmp_path, kind, 60)
    with open_video(path) as video:
        whole = [frame.image for frame in video.frames()]
    with open_video(path) as video:
        span = [frame.image for frame in video.frames(1.0, 1.4)]
    assert len(span) == 10
    assert all(map(np.array_equal, span, whole[25:35]))


def test_progressive_frames_of_an_interlaced_stream_stay_as_they_are(tmp_path):
    """As of a film on a DVD: the stream may be interlaced, these frames are not."""
    options = {"x264-params": "fake-interlaced=1"}
    path = encode(tmp_path / "film.mp4", "libx264", 12, options=options)
    smoothed, video = read(path)
    woven, _ = read(path, interlaced="weave")
    assert video.interlaced_frames == 0
    assert video.remarks() == []
    assert all(map(np.array_equal, smoothed, woven))


def test_only_the_marked_frames_are_touched(tmp_path):
    film = encode(tmp_path / "film.mpg", "mpeg2video", 8, options={"b": "4M", "g": "4"})
    tape = interlaced(tmp_path, "mpeg2.mpg", 8)
    mixed = tmp_path / "mixed.mpg"
    mixed.write_bytes(film.read_bytes() + tape.read_bytes() + film.read_bytes())
    smoothed, video = read(mixed)
    woven, _ = read(mixed, interlaced="weave")
    assert len(smoothed) == len(woven) == 24
    assert video.interlaced_frames == 8
    equal = [np.array_equal(*pair) for pair in zip(smoothed, woven, strict=True)]
    assert equal == [True] * 8 + [False] * 8 + [True] * 8


def test_the_header_says_it_too(tmp_path):
    with open_video(interlaced(tmp_path, "h264.mp4")) as video:
        assert video.header_interlaced
    with open_video(encode(tmp_path / "a.mp4", "libx264", [draw(0)] * 3)) as video:
        assert not video.header_interlaced


def test_a_size_may_change_among_interlaced_frames(tmp_path):
    small = interlaced(tmp_path, "mpeg2.mpg", 6)
    codec, settings = KINDS["mpeg2.mpg"]
    large = encode(
        tmp_path / "large.mpg",
        codec,
        moments(6, 112, 80),
        convert=FieldMarker(),
        width=112,
        height=80,
        **settings,
    )
    joined = tmp_path / "joined.mpg"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    images, _ = read(joined)
    assert [image.shape[:2] for image in images] == [(64, 96)] * 5 + [(80, 112)] * 6
