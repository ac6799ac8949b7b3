"""Windows and segments: what a long video is divided into."""

import numpy as np
import pytest

from actionrec.deploy import timeline
from actionrec.deploy.model_card import read_card
from actionrec.deploy.preparation import Preparation, moments
from actionrec.deploy.timeline import Windows
from helpers.exports import make_export


def numbered(count, rate):
    """Yield frames that hold their own number."""
    for index in range(count):
        yield index / rate, np.full((32, 32, 3), index, np.uint8)


def windows_of(export, count, rate, length, stride):
    card = read_card(export)
    preparation = Preparation(card)
    found = timeline.slide(
        preparation, moments(preparation, numbered(count, rate)), Windows(length, stride), 1 / rate
    )
    for window in found:
        pixels = window.clip["input_rgb"][0, :, 0, 0] * 127.5 + 127.5
        yield window.start, window.end, pixels.round().astype(int).tolist()


def test_a_window_takes_the_middle_frame_of_each_of_its_parts(export):
    found = list(windows_of(export, 16, 8, 1.0, 0.5))
    assert found[0] == (0.0, 1.0, [1, 3, 5, 7])
    assert found[1] == (0.5, 1.5, [5, 7, 9, 11])
    assert [start for start, *_ in found] == [0.0, 0.5, 1.0]


def test_the_frame_rate_does_not_matter(export):
    at_8, at_16 = (list(windows_of(export, 2 * rate, rate, 1.0, 0.5)) for rate in (8, 16))
    assert [span[:2] for span in at_8] == [span[:2] for span in at_16]
    assert at_16[0][2] == [2, 6, 10, 14]


def test_a_consecutive_clip_is_the_same_frames_in_a_window(tmp_path):
    export = make_export(tmp_path / "c", strategy="consecutive", rate=2)
    first, *_ = windows_of(export, 30, 10, 0.8, 0.8)
    assert first[2] == [1, 3, 5, 7]


def test_a_video_shorter_than_a_window_is_one_window(export):
    ((start, end, ids),) = windows_of(export, 3, 10, 1.0, 0.5)
    assert (start, end) == (0.0, pytest.approx(0.3))
    assert ids == [1, 2, 2, 2]


def test_windows_are_yielded_while_the_video_is_read(export):
    card = read_card(export)
    preparation = Preparation(card)
    read = 0

    def counted():
        nonlocal read
        for pair in numbered(100, 10):
            read += 1
            yield pair

    found = timeline.slide(preparation, moments(preparation, counted()), Windows(1.0, 1.0))
    next(found)
    assert read <= 12, "no more than the window needs"


def test_frames_are_prepared_once_and_only_where_a_window_takes_them(export, monkeypatch):
    card = read_card(export)
    preparation = Preparation(card)
    prepared = []
    rgb = preparation.rgb

    def counted(frame):
        prepared.append(frame[0, 0, 0])
        return rgb(frame)

    monkeypatch.setattr(preparation, "rgb", counted)
    list(timeline.slide(preparation, moments(preparation, numbered(100, 20)), Windows(2.0, 1.0)))
    assert len(prepared) == len(set(prepared)) < 30


def test_equal_neighbours_are_one_segment():
    spans = [(t, t + 1.0) for t in np.arange(0, 6, 0.5)]
    scores = np.array([[0.9, 0.1] if start < 3 else [0.1, 0.9] for start, _ in spans])
    cells, smooth = timeline.smoothed(spans, scores, 0.5)
    found = timeline.segments(cells, smooth, spans[-1][1], ["a", "b"], 0.0)
    assert [part.label for part in found] == ["a", "b"]
    assert found[0].start == 0
    assert found[0].end == found[1].start == pytest.approx(3.25, abs=0.26)
    assert found[1].end == spans[-1][1]


def test_a_stretch_of_low_scores_is_unknown():
    cells = np.arange(20.0)
    scores = np.array([[0.9, 0.1]] * 10 + [[0.5, 0.5]] * 10)
    found = timeline.segments(cells, scores, 20.0, ["a", "b"], 0.8)
    assert [(part.start, part.end, part.label) for part in found] == [
        (0.0, 10.0, "a"),
        (10.0, 20.0, "unknown"),
    ]
    assert found[1].score == 0.5, "the score of the best label"


def test_a_short_doubt_divides_no_segment():
    scores = np.full((20, 2), [0.9, 0.1])
    scores[9] = [0.4, 0.6]
    found = timeline.segments(np.arange(20.0), scores, 20.0, ["a", "b"], 0.0)
    assert [(part.start, part.end, part.label) for part in found] == [(0.0, 20.0, "a")]


@pytest.mark.parametrize("seed", range(20))
def test_the_most_probable_sequence_is_the_best_of_all(seed):
    from itertools import pairwise, product

    evidence = np.random.default_rng(seed).normal(0, 2, (6, 3))

    def worth(path):
        switches = sum(first != second for first, second in pairwise(path))
        return sum(evidence[step, state] for step, state in enumerate(path)) - 1.5 * switches

    best = max(product(range(3), repeat=6), key=worth)
    assert timeline.most_probable(evidence, 1.5) == list(best)
