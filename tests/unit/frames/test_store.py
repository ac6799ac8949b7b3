"""Frames that stay in their videos are those that image files would hold, bit for bit."""

import random
from dataclasses import replace

import numpy as np
import pytest

from actionrec.frames.extraction import extract_class
from actionrec.frames.manifest import read_manifest
from actionrec.frames.store import open_frames
from actionrec.frames.videos import list_videos, write_files_table
from helpers import PNG
from helpers.videos import encode, encode_interlaced

VIDEO = replace(PNG, suffix="video")
OPEN = "open-gop=1:keyint=12:bframes=3"
ROTATED = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
VARIABLE = [0.04 * i + (0.3 if i > 20 else 0) + (0.011 if i % 3 else 0) for i in range(60)]


def b_frames(path):
    encode(path.with_suffix(".mp4"), "libx264", 90, options={"g": "12", "bf": "3"})


def open_gop(path):
    encode(path.with_suffix(".mkv"), "libx264", 90, options={"x264-params": OPEN})


def in_avi(path):
    encode(path.with_suffix(".avi"), "mpeg4", 90, options={"g": "12", "bf": "2"})


def in_stream(path):
    encode(path.with_suffix(".ts"), "mpeg2video", 60, options={"g": "12", "bf": "2"})


def variable_rate(path):
    encode(path.with_suffix(".mp4"), "libx264", 60, times=VARIABLE, options={"g": "10"})


def rotated(path):
    encode(path.with_suffix(".mp4"), "mpeg4", 30, matrix=ROTATED)


def interlaced(path):
    encode_interlaced(path.with_suffix(".mpg"), "mpeg2video", 40)


VIDEOS = [b_frames, open_gop, in_avi, in_stream, variable_rate, rotated, interlaced]


def make(root, image_format, **options):
    """Extract the videos of a class; return its frames' folder and the records."""
    videos, table = root / "videos", root / "videos.tsv"
    frames, manifest = root / image_format.suffix / "walk", root / f"{image_format.suffix}.tsv"
    if not table.exists():
        write_files_table(table, list_videos(videos))
    extract_class(videos, table, frames, manifest, image_format=image_format, **options)
    return frames, read_manifest(manifest)


def in_images(folder):
    return {index: image.copy() for index, image in open_frames(folder).read()}


def assert_equal_frames(png, video, seed=0):
    """Fail unless both stores yield the same pixels: all in one pass, and some in any order."""
    expected, stored = in_images(png), open_frames(video)
    assert [path.name for path in video.iterdir()] == ["video.json"]
    assert stored.count == len(expected)
    whole = {index: image.copy() for index, image in stored.read()}
    assert whole.keys() == expected.keys()
    assert all(np.array_equal(whole[index], expected[index]) for index in expected)
    draw = random.Random(seed)
    for number in (1, 1, 1, 3, 7):
        ids = draw.choices(range(stored.count), k=number)
        found = {index: image.copy() for index, image in stored.read(ids)}
        assert found.keys() == set(ids)
        assert all(np.array_equal(found[index], expected[index]) for index in found)


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory):
    """Return a folder with a video of each kind, extracted to both stores."""
    root = tmp_path_factory.mktemp("kinds")
    for kind in VIDEOS:
        kind(root / "videos" / kind.__name__)
    return root, make(root, PNG), make(root, VIDEO)


@pytest.mark.parametrize("kind", [kind.__name__ for kind in VIDEOS])
def test_frames_from_the_video_are_those_of_the_images(all_kinds, kind):
    _, (png, _), (video, _) = all_kinds
    assert_equal_frames(png / kind / "rgb", video / kind / "rgb")


def test_the_table_says_the_same_of_both_stores(all_kinds):
    _, (_, png), (_, video) = all_kinds
    assert [r.format for r in video] == ["video"] * len(VIDEOS) == [r.suffix for r in video]
    assert [replace(r, format="png", suffix="png") for r in video] == png
