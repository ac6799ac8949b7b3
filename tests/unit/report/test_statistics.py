"""Intervals, tests and baselines, against published values and R's."""

import pytest

from actionrec.experiments.predictions import Prediction
from actionrec.report import statistics


@pytest.mark.parametrize(
    ("right", "number", "low", "high"),
    [  # R: prop.test(right, number, correct = FALSE)
        (8, 10, 0.4901625, 0.9433178),
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (6, 12, 0.2537816, 0.7462184),
    ],
)
def test_wilson_interval(right, number, low, high):
    assert statistics.wilson_interval(right / number, number) == pytest.approx(
        (low, high), abs=1e-6
    )


def test_no_trial_says_nothing():
    assert statistics.wilson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(9, 1, 0.02148438), (1, 9, 0.02148438), (5, 5, 1.0), (0, 0, 1.0), (15, 3, 0.007537842)],
)
def test_mcnemar_is_the_exact_binomial_test(first, second, p):
    assert statistics.mcnemar(first, second) == pytest.approx(p, rel=1e-5)  # R: binom.test


def test_mcnemar_of_thousands_of_videos():
    assert 0 < statistics.mcnemar(2600, 2400) < 0.01


def test_holm_adjusts_as_in_r():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_an_interval_counts_different_videos_not_answers():
    once = statistics.accuracy({n: [n % 2 == 0] for n in range(12)})
    thrice = statistics.accuracy({n: [n % 2 == 0] * 3 for n in range(12)})
    assert once == thrice
    assert (once.percent, once.low, once.high, once.videos) == (50.0, 25.378, 74.622, 12)


def test_experiments_are_compared_on_the_videos_of_both():
    a = {n: {1: n < 10} for n in range(20)}
    b = {n: {1: n < 16} for n in range(18)}
    found = statistics.compare("a", "b", {"a": a, "b": b})
    assert (found.better, found.worse, found.videos) == ("b", "a", 18)
    assert (found.only_better, found.only_worse) == (6, 0)
    assert found.p == pytest.approx(0.03125)
    assert statistics.compare("a", "c", {"a": a, "c": {99: {1: True}}}) is None


def test_a_video_of_several_splits_counts_once():
    a = {n: dict.fromkeys((1, 2, 3), True) for n in range(6)}
    b = {n: dict.fromkeys((1, 2, 3), n == 0) for n in range(6)}
    found = statistics.compare("a", "b", {"a": a, "b": b})
    assert (found.videos, found.only_better, found.p) == (6, 5, 0.0625)


def answers(*triples):
    return [Prediction(f"v{n}", label, answer) for n, (label, answer) in enumerate(triples)]


def test_the_majority_class_is_the_baseline():
    assert statistics.majority(answers(("a", "b"), ("b", "b"), ("b", "a"))) == ("b", 2 / 3)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (answers(*[("a", "a")] * 5, *[("b", "a")] * 5), ("a", 1.0)),
        (answers(*[("a", "a")] * 5, *[("b", "a")] * 4, ("b", "b")), ("a", 0.9)),
        # Most videos are of one class, and the model tells the others apart.
        (answers(*[("a", "a")] * 95, *[("b", "b")] * 5), None),
        # Most videos are of one class, and the model never answers another.
        (answers(*[("a", "a")] * 95, *[("b", "a")] * 5), ("a", 1.0)),
        (answers(*[("a", "a")] * 5, *[("b", "b")] * 5), None),
    ],
)
def test_a_model_that_answers_one_class_for_nearly_everything(given, found):
    assert statistics.one_class(given) == found
