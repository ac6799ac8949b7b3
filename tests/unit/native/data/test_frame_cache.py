"""The cache of decoded frames: what is decoded once, kept and forgotten."""

import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.native.data.frame_cache import FrameCache
from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.videos import (
    list_labelled_videos,
)
from helpers.engine import LABELS, draw_tree

KEY = "dataset.train_dataset_dir"


def same(frames, others) -> bool:
    return all((a == b).all() for a, b in zip(frames, others, strict=True))


def cache_of(videos, memory: int, **how) -> FrameCache:
    return FrameCache(videos, "rgb", [(16, 12)] * len(videos), FrameMemory(memory), **how)


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


@pytest.mark.parametrize(("draws", "rest_is_read"), [(7, False), (8, True)])
def test_the_rest_of_a_video_is_read_ahead_if_enough_of_its_frames_will_be_drawn(
    draws, rest_is_read, tmp_path
):
    draw_tree(tmp_path, videos=1)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    cache = cache_of(videos, 2**20, expected_draws=draws)
    assert not cache.read_ahead()  # of no video before it is drawn
    first = cache.read(0, np.array([3]))
    assert cache.all_frames(0) is None
    ahead = 0
    while cache.read_ahead():
        ahead += 1
    for frame in tmp_path.glob("*/*/rgb/*.png"):
        frame.unlink()
    if rest_is_read:
        assert ahead == 7
        assert same(first, cache.all_frames(0)[3:4])
    else:
        assert ahead == 0
        with pytest.raises(InputError, match=r"000001\.png"):
            cache.read(0, np.arange(8))


def test_a_damaged_frame_is_found_when_it_is_read_ahead(tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    cache = cache_of(videos, 2**20, expected_draws=8)
    cache.read(0, np.array([0]))
    (videos[0].folder / "rgb/000005.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"000005\.png"):
        while cache.read_ahead():
            pass


def test_nothing_is_read_ahead_without_memory_for_it(tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    cache = cache_of(videos, 0, expected_draws=8)
    cache.read(0, np.array([0]))
    assert not cache.read_ahead()
