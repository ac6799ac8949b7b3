"""The cache of decoded frames: what is decoded once, kept and forgotten."""

import os
import shutil
import weakref
from bisect import insort
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.frames.extraction import extract_class
from actionrec.frames.videos import list_videos, write_files_table
from actionrec.native.data import frame_cache
from actionrec.native.data.datasets import EvalDataset, TrainDataset
from actionrec.native.data.frame_cache import FrameCache
from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.frame_reading import read_frames
from actionrec.native.data.videos import (
    list_labelled_videos,
)
from helpers import PNG
from helpers.engine import LABELS, draw_tree, tiny_spec
from helpers.videos import encode

KEY = "dataset.train_dataset_dir"


def same(frames, others) -> bool:
    return all((a == b).all() for a, b in zip(frames, others, strict=True))


def cache_of(videos, memory: int, **how) -> FrameCache:
    return FrameCache(videos, "rgb", [(16, 12)] * len(videos), FrameMemory(memory), **how)


def foresee(*passes):
    """Return what a cache foresees of each video: the frames of one pass after the other."""
    return lambda video: map(np.array, passes)


def test_frames_are_decoded_once_if_there_is_memory(tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    one_video = 8 * 12 * 16 * 3
    cache, poor = cache_of(videos, one_video), cache_of(videos, one_video - 1)
    ids = np.array([2, 5, 5, 0])
    before = cache.read(1, ids)
    assert same(before, poor.read(1, ids))
    for frame in (videos[1].folder / "rgb").iterdir():
        frame.unlink()
    assert same(before, cache.read(1, ids))
    with pytest.raises(InputError, match=r"000001\.png"):
        poor.read(1, ids)


def test_a_forgotten_video_frees_its_memory(tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    cache = cache_of(videos, 8 * 12 * 16 * 3)
    first = cache.read(0, np.arange(8))
    cache.forget(0)
    second = cache.read(1, np.arange(8))
    for frame in tmp_path.glob("*/*/rgb/*.png"):
        frame.unlink()
    assert same(second, cache.read(1, np.arange(8)))
    assert not same(first, second)
    with pytest.raises(InputError, match=r"000001\.png"):
        cache.read(0, np.array([0]))


@pytest.mark.parametrize("upcoming", [[], [[3, 5]], [[5, 3], [1, 5, 0]], [range(8)]])
def test_upcoming_images_are_read_ahead_and_no_others(upcoming, tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    cache = cache_of(videos, 2**20, upcoming=foresee(*upcoming))
    assert not cache.read_ahead()  # of no video before it is drawn
    first = cache.read(0, np.array([3]))
    known = {3}.union(*upcoming)
    ahead = 0
    while cache.read_ahead():
        ahead += 1
    assert ahead == len(known) - 1
    for index, frame in enumerate(sorted((videos[0].folder / "rgb").iterdir())):
        frame.unlink()
        if index in known:
            (kept,) = cache.read(0, np.array([index]))
            assert index != 3 or same([kept], first)
        else:
            with pytest.raises(InputError, match=frame.name):
                cache.read(0, np.array([index]))


def test_a_damaged_frame_is_found_when_it_is_read_ahead(tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    cache = cache_of(videos, 2**20, upcoming=foresee(range(8)))
    cache.read(0, np.array([0]))
    (videos[0].folder / "rgb/000005.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"000005\.png"):
        while cache.read_ahead():
            pass


def test_nothing_is_read_ahead_without_memory_for_it(tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    cache = cache_of(videos, 0, upcoming=foresee(range(8)))
    cache.read(0, np.array([0]))
    assert not cache.read_ahead()


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Return two videos of 30 frames whose frames stay in their files, with no checksums."""
    root = tmp_path_factory.mktemp("filmed")
    for name, interval in (("a", "10"), ("b", "9")):
        encode(root / "videos" / f"{name}.mp4", "libx264", 30, options={"g": interval})
    write_files_table(root / "videos.tsv", list_videos(root / "videos"))
    extract_class(
        root / "videos",
        root / "videos.tsv",
        root / "frames/walk",
        root / "frames.tsv",
        image_format=replace(PNG, suffix="video"),
        check="quick",
    )
    shutil.rmtree(root / "frames/.walk")
    return list_labelled_videos(root / "frames", {"walk": 0}, KEY)


@pytest.fixture
def passes(monkeypatch):
    """Return what is decoded of video files: (video, frames so far, sorted) of each pass."""
    found = []

    def noting(video, *how):
        found.append((video.folder.name, decoded := []))
        for index, frame in read_frames(video, *how):
            insort(decoded, index)
            yield index, frame

    monkeypatch.setattr(frame_cache, "read_frames", noting)
    return found


def open_files() -> list[str]:
    return [
        path for path in map(os.path.realpath, Path("/proc/self/fd").iterdir()) if ".mp4" in path
    ]


def expected(video, ids):
    return [frame for _, frame in read_frames(video, "rgb", ids, (16, 12))]


def test_a_video_file_is_decoded_in_two_passes_each_frame_once(filmed, passes):
    cache = cache_of(filmed, 2**20, upcoming=foresee([4, 12], [2, 4, 25]))
    assert same(cache.read(0, np.array([12, 12])), expected(filmed[0], [12]) * 2)
    assert passes == [("a", [4, 12])]
    cache.read(0, np.array([4, 12]))
    assert len(passes) == 1
    assert same(cache.read(0, np.array([12, 25])), expected(filmed[0], [12, 25]))
    cache.read(0, np.array([2]))
    assert passes[1:] == [("a", [2, 25])]


def test_frames_that_were_not_foreseen_complete_a_video_file(filmed, passes):
    cache = cache_of(filmed, 2**20, upcoming=foresee([4], [5]))
    for wanted in ([3], [6], [7]):
        cache.read(0, np.array(wanted))
    rest = [index for index in range(30) if index not in (3, 4, 5, 6)]
    assert [ids for _, ids in passes] == [[3, 4], [5, 6], rest]
    cache.read(0, np.arange(30))
    assert len(passes) == 3


def test_without_memory_each_read_decodes_what_it_needs_of_a_video_file(filmed, passes):
    cache = cache_of(filmed, 0, upcoming=foresee([4], [5]))
    for _ in range(2):
        cache.read(0, np.array([9, 3]))
        assert not cache.read_ahead()
    assert passes == [("a", [3, 9])] * 2


def test_a_video_file_is_read_ahead_in_one_pass_a_frame_at_a_time(filmed, passes):
    cache = cache_of(filmed, 2**20, upcoming=foresee([4], range(30)))
    cache.read(0, np.array([4]))
    cache.read(1, np.array([4]))
    for number in range(1, 6):
        assert cache.read_ahead()
        assert len(passes[2][1]) == number
    assert len(open_files()) == 1
    while cache.read_ahead():
        pass
    assert [name for name, _ in passes] == ["a", "b", "a", "b"]
    assert all(len(ids) == 29 for _, ids in passes[2:])
    assert not open_files()
    assert same(cache.read(1, np.arange(30)), expected(filmed[1], range(30)))
    assert len(passes) == 4


def test_a_read_ends_the_pass_that_reads_ahead_in_its_video(filmed, passes):
    cache = cache_of(filmed, 2**20, upcoming=foresee([4], [4, 8, 20]))
    cache.read(0, np.array([4]))
    assert cache.read_ahead()
    cache.read(1, np.array([4]))  # another video: the pass stays as it is
    assert [(name, len(ids)) for name, ids in passes] == [("a", 1), ("a", 1), ("b", 1)]
    assert same(cache.read(0, np.array([20])), expected(filmed[0], [20]))
    assert [ids for _, ids in passes] == [[4], [8, 20], [4]]


def test_a_video_is_forgotten_while_it_is_read_ahead(filmed, passes):
    cache = cache_of(filmed, 30 * 12 * 16 * 3, upcoming=foresee([4], range(30)))
    cache.read(0, np.array([4]))
    assert cache.read_ahead()
    assert len(open_files()) == 1
    cache.forget(0)
    assert not open_files()
    assert not cache.read_ahead()
    cache.read(1, np.array([4]))  # takes the memory
    assert same(cache.read(0, np.array([4])), expected(filmed[0], [4]))
    while cache.read_ahead():
        pass
    assert [(name, len(ids)) for name, ids in passes] == [
        *[("a", 1), ("a", 1), ("b", 1), ("a", 1), ("b", 29)]
    ]


def test_a_training_decodes_of_each_video_file_what_its_clips_draw_in_two_passes(filmed, passes):
    whole = {"augmentation_config": {"train_crop_type": "no_crop"}}
    spec = tiny_spec(dataset={"clips_per_video": 2, **whole}, train={"num_epochs": 5})
    kept, never = (TrainDataset(filmed, spec, FrameMemory(memory)) for memory in (2**20, 0))
    clips = [(epoch, clip) for epoch in range(5) for clip in (3, 0, 2, 1)]
    first, second = (
        {name: np.empty(shape, np.uint8) for name, shape in kept.shapes((0, 0)).items()}
        for _ in range(2)
    )
    for key in clips:
        kept.write_clip(key, first)
        decoded = len(passes)
        never.write_clip(key, second)
        del passes[decoded:]
        assert np.array_equal(first["rgb"], second["rgb"])
    assert sorted(name for name, _ in passes) == ["a", "a", "b", "b"]
    for name in ("a", "b"):
        of_video = [ids for video, ids in passes if video == name]
        assert 0 < len(of_video[0]) <= 2 * spec.model.rgb_seq_length
        assert not set(of_video[0]) & set(of_video[1])


def test_memory_is_free_as_soon_as_a_dataset_is_gone(filmed):
    """The garbage collector would come late, and a file on a disk would stay until then."""
    cache = cache_of(filmed, 2**20, upcoming=foresee([4], range(30)))
    pixels = weakref.ref(cache.load(0, np.array([4])))
    assert cache.read_ahead()
    memory = FrameMemory(2**20)
    datasets = [kind(filmed, tiny_spec(), memory) for kind in (TrainDataset, EvalDataset)]
    gone = [pixels, *map(weakref.ref, datasets)]
    del cache, datasets
    assert all(reference() is None for reference in gone)


def test_frames_of_a_video_that_is_replaced_while_it_is_read_ahead_are_not_used(filmed):
    cache = cache_of(filmed, 2**20, upcoming=foresee([4], range(30)))
    cache.read(0, np.array([4]))
    assert cache.read_ahead()
    file = filmed[0].folder.parents[2] / "videos/a.mp4"
    aside = file.rename(file.with_suffix(".aside"))
    try:
        shutil.copy(file.with_name("b.mp4"), file)
        for read in (lambda: [cache.read_ahead() for _ in range(30)], lambda: None):
            with pytest.raises(InputError, match=r"a\.mp4(?s:.)*was replaced"):
                read()
                cache.read(0, np.array([0]))
    finally:
        aside.replace(file)
    assert same(cache.read(0, np.array([0])), expected(filmed[0], [0]))
