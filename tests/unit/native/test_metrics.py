"""Metrics with TAO's meaning, from a confusion matrix."""

import json

from actionrec.native import metrics
from helpers import DATA


def test_metrics_are_taos():
    """Three of four right in one class, the one of another wrong, a third class without videos."""
    run, walk = 0, 1
    pairs = [(walk, walk), (walk, walk), (walk, walk), (walk, run), (run, walk)]
    confusion = metrics.confusion_matrix(pairs, 3)
    scored = metrics.metrics_of_videos(confusion, ["run", "walk", "push"])
    assert metrics.accuracies(confusion) == {"accuracy": 60.0, "m_accuracy": 25.0}
    assert scored["accuracy"] == 60.0
    assert scored["m_accuracy"] == 25.0
    assert scored["confusion_matrix"] == [[0, 1, 0], [1, 3, 0], [0, 0, 0]]
    assert scored["per_class"]["walk"] == {"accuracy": 75.0, "correct": 3, "videos": 4}
    assert scored["videos"] == 5
    assert json.loads(json.dumps(scored)) == scored, "plain numbers, no NumPy's"


def test_accuracies_are_those_that_tao_logs():
    """TAO's golden evaluation: one class all right, the other all wrong."""
    lines = (DATA / "golden/status/evaluate.json").read_text().splitlines()
    pairs = [(0, 0)] * 12 + [(1, 0)] * 12
    assert metrics.accuracies(metrics.confusion_matrix(pairs, 2)) == json.loads(lines[-1])["kpi"]


def test_no_sample_at_all_is_no_division_by_zero():
    none = metrics.confusion_matrix([], 2)
    assert metrics.accuracies(none) == {"accuracy": 0.0, "m_accuracy": 0.0}
