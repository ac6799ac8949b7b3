"""Frame ids: TAO's where they are determined, its distribution where they are drawn."""

import itertools
from collections import Counter

import numpy as np
import pytest

from actionrec.native.data import frame_sampling
from helpers.engine import assert_drawn_from, read_golden


@pytest.mark.parametrize("strategy", ["consecutive", "random_interval"])
def test_centre_ids_are_those_of_tao(strategy):
    for case in read_golden("data.json")["ids"]:
        ids = frame_sampling.centre_ids(case["frames"], case["seq"], strategy, case["rate"])
        assert ids.tolist() == case[strategy], case


def test_clips_of_conv_and_all_are_those_of_tao():
    for case in read_golden("data.json")["clips"]:
        clips = frame_sampling.clip_ids(
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
    (ids,) = frame_sampling.clip_ids(21, 8, "consecutive", 2, **whole)
    assert ids.tolist() == list(range(21))
    (ids,) = frame_sampling.clip_ids(21, 8, "random_interval", 1, **whole)
    assert ids.tolist() == frame_sampling.centre_ids(21, 8, "random_interval", 1).tolist()


def test_interval_clips_of_a_short_video_repeat_its_last_frame():
    (ids,) = frame_sampling.clip_ids(3, 5, "random_interval", 1, mode="conv", segments=4)
    assert ids.tolist() == [0, 1, 2, 2, 2]


def draws(n, length, strategy, rate, count=4000):
    rng = np.random.default_rng(0)
    clips = (frame_sampling.training_ids(n, length, strategy, rate, rng) for _ in range(count))
    return [tuple(ids.tolist()) for ids in clips]


@pytest.mark.parametrize(
    ("frames", "length", "rate"), [(10, 3, 2), (6, 3, 1), (40, 8, 1), (40, 8, 4), (25, 4, 3)]
)
def test_consecutive_training_clips_start_anywhere_and_one_frame_later(frames, length, rate):
    starts = range(frames - length * rate + 2)  # the last one may wrap, as in TAO
    clips = [tuple((start + rate * i) % frames for i in range(length)) for start in starts]
    chance = {clip: 1 / len(starts) for clip in clips}
    assert_drawn_from(chance, draws(frames, length, "consecutive", rate))


def test_the_clip_that_starts_too_late_wraps_to_the_first_frame():
    assert (4, 5, 0) in draws(6, 3, "consecutive", 1)


@pytest.mark.parametrize(("frames", "length"), [(11, 3), (8, 2), (5, 3)])
def test_interval_training_clips_take_one_frame_of_each_part_on_its_own(frames, length):
    part = frames // length
    parts = [range(part * i, part * (i + 1)) for i in range(length)]
    clips = list(itertools.product(*parts))
    chance = {clip: 1 / len(clips) for clip in clips}
    if len(clips) == 1:
        assert set(draws(frames, length, "random_interval", 1)) == set(clips)
    else:
        assert_drawn_from(chance, draws(frames, length, "random_interval", 1))


def test_interval_training_clips_of_a_short_video_are_sorted_draws_with_repeats():
    chance = Counter(tuple(sorted(ids)) for ids in itertools.product(range(3), repeat=4))
    chance = {ids: count / 3**4 for ids, count in chance.items()}
    assert_drawn_from(chance, draws(3, 4, "random_interval", 1))


def test_consecutive_training_clips_of_a_short_video_go_round():
    assert set(draws(2, 5, "consecutive", 1)) == {(0, 1, 0, 1, 0)}
    assert set(draws(5, 3, "consecutive", 2)) == {(0, 2, 4)}
    assert set(draws(4, 3, "consecutive", 3)) == {(0, 3, 2)}


def ids_of(n, length, strategy, rate, segments):
    clips = frame_sampling.clip_ids(n, length, strategy, rate, mode="segments", segments=segments)
    return [ids.tolist() for ids in clips]


def test_segments_are_spread_over_the_video():
    assert ids_of(10, 2, "consecutive", 1, 3) == [[1, 2], [4, 5], [7, 8]]
    assert ids_of(12, 2, "random_interval", 1, 3) == [[1, 7], [3, 9], [5, 11]]
    assert ids_of(5, 2, "random_interval", 1, 9) == [[0, 2], [1, 3]]
    assert ids_of(3, 2, "consecutive", 1, 9) == [[0, 1], [1, 2]]
    assert ids_of(2, 4, "consecutive", 1, 3) == [[0, 1, 0, 1]]
    for n in (30, 41):
        conv = frame_sampling.clip_ids(n, 4, "consecutive", 2, mode="conv", segments=5)
        assert ids_of(n, 4, "consecutive", 2, 5) == [ids.tolist() for ids in conv]
