"""Frames that stay in their videos are those that image files would hold, bit for bit."""

import json
import math
import os
import random
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.frames import staleness
from actionrec.frames.extraction import extract_class, extract_segments
from actionrec.frames.flow import FlowSettings, extract_flow
from actionrec.frames.manifest import frame_fault, read_manifest
from actionrec.frames.references import read_reference
from actionrec.frames.segments import Crop, Segment, write_crops, write_segments
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


def test_crops_and_segments_are_decoded_from_where_they_are(tmp_path):
    path = encode(tmp_path / "long.mp4", "libx264", 250, options={"g": "25"})
    size = path.stat().st_size
    times = {"a": (0.0, math.inf), "b": (3.0, 6.2), "c": (7.97, 9.0), "cut": (0.0, math.inf)}
    write_segments(
        tmp_path / "walk.tsv",
        [Segment(name, str(path), size, *span) for name, span in times.items()],
    )
    frames = [200, 201, 201, 120, 9]  # in any order, and two of one
    write_crops(
        tmp_path / "crops.tsv",
        [
            Crop("cut", number, frame, 48, 32, number, 2, 30 + number, 22)
            for number, frame in enumerate(frames, 1)
        ],
    )
    made = {}
    for form in (replace(PNG, size=(40, 24)), replace(VIDEO, size=(40, 24))):
        made[form.suffix] = tmp_path / form.suffix
        manifest = tmp_path / f"{form.suffix}.tsv"
        extract_segments(
            tmp_path / "walk.tsv",
            tmp_path / "crops.tsv",
            made[form.suffix],
            manifest,
            image_format=form,
        )
    assert {record.format for record in read_manifest(manifest)} == {"video 40x24"}
    for name in times:
        assert_equal_frames(made["png"] / name / "rgb", made["video"] / name / "rgb")
    assert len(in_images(made["video"] / "cut" / "rgb")) == len(frames)
    noted = []  # one frame is decoded from the nearest key frame, not from the first of the video
    assert len(list(open_frames(made["video"] / "a/rgb", noted.append).read([230]))) == 1
    assert set(noted) == {path} and len(noted) < 30


@pytest.fixture
def walk(tmp_path):
    """Return the root of a class of two videos that stay where they are, and its frames' folder."""
    for seed, name in enumerate("ab"):
        encode(tmp_path / f"videos/{name}.mp4", "mpeg4", 30 + seed)
    return tmp_path, make(tmp_path, VIDEO)[0]


def stale(root):
    table, manifest = root / "videos.tsv", root / "video.tsv"
    found = staleness.stale_frames(root / "videos", table, root / "video/walk", [manifest])
    return found.get(manifest, "")


def later(path):
    """Give a file a time after all that was made of it."""
    future = path.stat().st_mtime + 60
    os.utime(path, (future, future))


def test_a_touched_video_is_the_same_and_its_reference_is_renewed(walk):
    root, frames = walk
    assert stale(root) == ""
    later(root / "videos/a.mp4")
    assert stale(root) == ""
    assert frame_fault(frames / "a/rgb", 30, "video") == ""
    before = (root / "video.tsv").read_bytes()
    make(root, VIDEO)
    assert (root / "video.tsv").read_bytes() == before
    assert read_reference(frames / "a/rgb").is_of(root / "videos/a.mp4", frames / "a/rgb")


def test_a_replaced_video_is_noticed_by_all_who_would_read_it(walk):
    root, frames = walk
    video, rgb = root / "videos/a.mp4", frames / "a/rgb"
    encode(root / "other.mp4", "mpeg4", 30, width=64)
    shutil.copy(root / "other.mp4", video)
    later(video)
    assert stale(root) == "video replaced: a.mp4"
    assert "its video was replaced" in frame_fault(rgb, 30, "video")
    with pytest.raises(
        InputError, match=r"another one now(?s:.)*--forcerun extract_frames"
    ) as error:
        dict(open_frames(rgb).read([4]))
    assert str(video) in str(error.value)


def test_a_video_of_equal_size_and_time_is_found_out_by_its_pixels(walk):
    root, frames = walk
    video, rgb = root / "videos/a.mp4", frames / "a/rgb"
    content, times = bytearray(video.read_bytes()), video.stat()
    middle = content.index(b"mdat") + len(content) // 3
    content[middle : middle + 40] = bytes(40)
    video.write_bytes(content)
    os.utime(video, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert stale(root) == "" == frame_fault(rgb, 30, "video")
    with pytest.raises(InputError, match="does not hold the frames"):
        list(open_frames(rgb).read())


def test_a_deleted_video_takes_its_frames_with_it(walk):
    root, frames = walk
    (root / "videos/a.mp4").unlink()
    assert stale(root) == "videos removed: a.mp4"
    assert "its video is gone" in frame_fault(frames / "a/rgb", 30, "video")
    with pytest.raises(InputError, match=r"missing, damaged(?s:.)*a\.mp4"):
        list(open_frames(frames / "a/rgb").read([0]))
    shutil.rmtree(root / "videos")  # as those of an archive may be, once there are images
    assert stale(root) == "videos removed: a.mp4, b.mp4"


def test_a_moved_or_copied_project_reads_its_own_videos(walk, tmp_path):
    root, frames = walk
    own = tmp_path / "copy"
    own.mkdir()
    for name in ("videos", "video"):
        shutil.copytree(root / name, own / name)
    rgb = own / "video/walk/a/rgb"
    assert read_reference(rgb).locate(rgb) == own / "videos/a.mp4"
    assert frame_fault(rgb, 30, "video") == ""
    linked = tmp_path / "elsewhere/deep/rgb"  # only what refers to the video is copied
    shutil.copytree(frames / "a/rgb", linked)
    assert read_reference(linked).locate(linked) == root / "videos/a.mp4"
    assert len(list(open_frames(linked).read())) == 30


@pytest.mark.parametrize("text", ["", "{}", '{"file": 3}', "cut"])
def test_a_damaged_reference_is_named_and_made_again(walk, text):
    root, frames = walk
    file = frames / "a/rgb/video.json"
    whole = file.read_text()
    file.write_text(whole[:300] if text == "cut" else text)
    assert frame_fault(frames / "a/rgb", 30, "video") == "video.json is damaged"
    with pytest.raises(InputError, match=r"a/rgb/video\.json"):
        open_frames(frames / "a/rgb")
    make(root, VIDEO)
    assert json.loads(file.read_text()) == json.loads(whole)


def test_the_store_of_a_class_can_be_changed_and_changed_back(walk):
    root, frames = walk
    png = replace(PNG, size=None)
    table, manifest = root / "videos.tsv", root / "video.tsv"
    extract_class(root / "videos", table, frames, manifest, image_format=png)
    assert len(list((frames / "a/rgb").iterdir())) == 30
    assert frame_fault(frames / "a/rgb", 30, "png") == ""
    make(root, VIDEO)
    assert [path.name for path in (frames / "a/rgb").iterdir()] == ["video.json"]


def test_flow_of_both_stores_is_equal(walk):
    root, video = walk
    png, _ = make(root, PNG)
    for frames, name in ((png, "png"), (video, "video")):
        settings = FlowSettings("dis", "medium", "max_rad")
        extract_flow(frames, root / f"{name}.tsv", root / f"{name}.flow.tsv", settings)
    images = [
        {path.relative_to(frames): path.read_bytes() for path in frames.glob("*/[uv]/*")}
        for frames in (png, video)
    ]
    assert images[0] == images[1] and len(images[0]) == 2 * (29 + 30)


def test_another_decoder_counts_the_frames_again(walk, monkeypatch):
    root, frames = walk
    before = (frames / "a/rgb/video.json").read_text()
    monkeypatch.setattr("av.__version__", "99")
    with pytest.raises(InputError, match=r"counted by PyAV \d+(?s:.)*this is PyAV 99"):
        (root / "videos/a.mp4").rename(root / "videos/b.mp4")
        list(open_frames(frames / "a/rgb").read([0]))
    (root / "videos/b.mp4").rename(root / "videos/a.mp4")
    encode(root / "videos/b.mp4", "mpeg4", 31)
    make(root, VIDEO)
    after = (frames / "a/rgb/video.json").read_text()
    assert re.sub("PyAV [0-9.]+", "PyAV 99", before) == after
