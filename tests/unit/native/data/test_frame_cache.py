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


@pytest.mark.parametrize(("draws", "all_read"), [(7, False), (8, True)])
def test_the_first_read_decodes_a_whole_video_of_which_enough_frames_will_be_drawn(
    draws, all_read, tmp_path
):
    draw_tree(tmp_path, videos=1)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    cache = cache_of(videos, 2**20, expected_draws=draws)
    cache.read(0, np.array([0]))
    for frame in (videos[0].folder / "rgb").iterdir():
        frame.unlink()
    try:
        cache.read(0, np.arange(8))
    except InputError:
        assert not all_read
    else:
        assert all_read
