"""Frame ids: TAO's where they are determined, its distribution where they are drawn."""

import numpy as np
import pytest
from engine import read_golden

from actionrec.native import sampling


@pytest.mark.parametrize("strategy", ["consecutive", "random_interval"])
def test_centre_ids_are_those_of_tao(strategy):
    for case in read_golden("data.json")["ids"]:
        ids = sampling.centre_ids(case["frames"], case["seq"], strategy, case["rate"])
        assert ids.tolist() == case[strategy], case


def test_clips_of_conv_and_all_are_those_of_tao():
    for case in read_golden("data.json")["clips"]:
        clips = sampling.clip_ids(
            case["frames"],
            case["seq"],
            case["strategy"],
            case["rate"],
            mode=case["mode"],
            segments=case["segments"],
        )
        assert [ids.tolist() for ids in clips] == case["ids"], case


def test_3d_networks_take_all_frames_as_one_clip():
    whole = {"mode": "all", "segments": 1, "whole": True}
    (ids,) = sampling.clip_ids(21, 8, "consecutive", 2, **whole)
    assert ids.tolist() == list(range(21))
    (ids,) = sampling.clip_ids(21, 8, "random_interval", 1, **whole)
    assert ids.tolist() == sampling.centre_ids(21, 8, "random_interval", 1).tolist()


def test_interval_clips_of_a_short_video_repeat_its_last_frame():
    (ids,) = sampling.clip_ids(3, 5, "random_interval", 1, mode="conv", segments=4)
    assert ids.tolist() == [0, 1, 2, 2, 2]


def draws(n, length, strategy, rate, count=4000):
    rng = np.random.default_rng(0)
    return np.array([sampling.training_ids(n, length, strategy, rate, rng) for _ in range(count)])


def test_consecutive_training_clips_start_anywhere_and_one_frame_later():
    ids = draws(10, 3, "consecutive", 2)
    starts, counts = np.unique(ids[:, 0], return_counts=True)
    assert starts.tolist() == [0, 1, 2, 3, 4, 5]  # the last one wraps, as in TAO
    assert counts.min() > 4000 / 6 * 0.8  # uniform: 0.8 is seven standard deviations away
    assert (np.diff(ids, axis=1) % 10 == 2).all()
    assert ids[ids[:, 0] == 5].tolist()[0] == [5, 7, 9]
    wrapped = draws(6, 3, "consecutive", 1)
    assert wrapped[wrapped[:, 0] == 4].tolist()[0] == [4, 5, 0]


def test_interval_training_clips_take_one_frame_of_each_part():
    ids = draws(11, 3, "random_interval", 1)
    for part in range(3):
        values, counts = np.unique(ids[:, part], return_counts=True)
        assert values.tolist() == [3 * part, 3 * part + 1, 3 * part + 2]
        assert counts.min() > 4000 / 3 * 0.8


@pytest.mark.parametrize("strategy", ["consecutive", "random_interval"])
def test_short_videos_repeat_frames(strategy):
    ids = draws(2, 5, strategy, 1, count=200)
    assert set(np.unique(ids)) == {0, 1}
    if strategy == "random_interval":
        assert (np.diff(ids, axis=1) >= 0).all()
    else:
        assert (ids == [0, 1, 0, 1, 0]).all()
