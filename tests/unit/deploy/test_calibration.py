"""Temperature and threshold: known answers."""

import numpy as np
import pytest

from actionrec.deploy import calibration


def drawn(count, temperature, classes=4, seed=0):
    """Return logits that are too large by a factor, and labels drawn from what they should be."""
    draws = np.random.default_rng(seed)
    honest = draws.normal(0, 1.5, (count, classes))
    shares = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = np.array([draws.choice(classes, p=row) for row in shares])
    return temperature * honest, labels


def test_the_temperature_of_overconfident_logits_is_found():
    logits, labels = drawn(4000, 3.0)
    found = calibration.fit(logits, labels, np.arange(4000), 0.95)
    assert found.temperature == pytest.approx(3.0, rel=0.06)
    assert found.error_after < 0.03 < 0.15 < found.error_before


@pytest.mark.parametrize("keep", [0.5, 0.8, 0.95, 0.99])
def test_the_threshold_keeps_that_share_of_right_answers(keep):
    logits, labels = drawn(1000, 1.0)
    found = calibration.fit(logits, labels, np.arange(1000), keep)
    scores = calibration.softmax(logits / found.temperature)
    right = scores.argmax(axis=1) == labels
    kept = (scores.max(axis=1)[right] >= found.threshold).mean()
    assert keep <= kept <= keep + 0.01


def test_a_few_videos_without_a_mistake_do_not_make_every_score_1():
    logits = np.eye(2)[np.arange(8) % 2] * 3
    found = calibration.fit(logits, np.arange(8) % 2, np.arange(8), 0.95)
    assert 0.3 < found.temperature < 1
    assert found.threshold < 0.9999


def test_a_videos_score_is_the_mean_over_its_clips():
    scores = np.array([[1.0, 0.0], [0.0, 1.0], [0.25, 0.75]])
    found = calibration.video_scores(scores, np.array([0, 0, 1]))
    assert found.tolist() == [[0.5, 0.5], [0.25, 0.75]]


def test_too_few_videos_and_none_right_are_said():
    with pytest.raises(ValueError, match="too few"):
        calibration.fit(np.eye(2), np.array([0, 1]), np.arange(2), 0.95)
    wrong = np.tile([0.0, 5.0], (10, 1))
    with pytest.raises(ValueError, match="no validation video is recognised"):
        calibration.fit(wrong, np.zeros(10, int), np.arange(10), 0.95)
