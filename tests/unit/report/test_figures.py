"""Figures of a run: classes, confusions, ranks, calibration, charts; notes on the data."""

import pytest

from actionrec.dataset.mirrored_classes import mirrored_pairs, warning
from actionrec.experiments.predictions import Prediction, with_ranking
from actionrec.report import confusions, notes, settings
from actionrec.report.calibration import calibration
from actionrec.utils.pages import charts


def test_precision_recall_and_f1_of_each_class():
    a, b, c = confusions.figures_of_classes([[8, 2, 0], [4, 6, 0], [0, 0, 0]], ["a", "b", "c"])
    assert (a.recall, a.precision, a.f1) == (80.0, 66.7, 72.7)
    assert (b.recall, b.precision, b.f1) == (60.0, 75.0, 66.7)
    assert (a.low, a.high) == (49.0, 94.3)
    assert (c.recall, c.precision, c.f1, c.low, c.high) == (None, None, None, 0.0, 100.0)


def test_the_largest_confusions_come_first():
    found = confusions.largest_confusions([[1, 3, 0], [2, 9, 3], [0, 0, 5]], ["a", "b", "c"], 2)
    assert [(c.label, c.prediction, c.count, c.videos) for c in found] == [
        ("a", "b", 3, 4),
        ("b", "c", 3, 14),
    ]


def test_ranks_come_from_all_probabilities_and_keep_the_engines_answer():
    tie = with_ranking(Prediction("v", "c", "b", 0.4), {"a": 0.4, "b": 0.4, "c": 0.2})
    assert (tie.rank, tie.top) == (3, [("b", 0.4), ("a", 0.4), ("c", 0.2)])
    two = with_ranking(Prediction("v", "a", "a", 0.9), {"a": 0.9, "b": 0.1})
    assert (two.rank, two.second, two.third) == (1, "b", None)
    unknown = Prediction("v", "a", "b")
    assert with_ranking(unknown, {}) == unknown
    assert confusions.top_k([tie, two], 4) == {1: 50.0, 3: 100.0}
    assert confusions.top_k([tie, unknown], 4) == {}


def test_calibration_and_thresholds():
    predictions = [Prediction(str(n), "a", "a" if n < 3 else "b", 0.95) for n in range(4)]
    predictions += [Prediction("low", "a", "b", 0.35)]
    found = calibration(predictions)
    assert [(b.low, b.high, b.videos, b.score, b.accuracy) for b in found.bins] == [
        (33.33, 40.0, 1, 35.0, 0.0),
        (93.33, 100.0, 4, 95.0, 75.0),
    ]
    assert found.error == pytest.approx((4 * 20 + 35) / 5)
    by_score = {t.score: (t.answered, t.accuracy) for t in found.thresholds}
    assert by_score[0] == (100, 60)
    assert by_score[0.5] == (80, 75)
    assert by_score[1] == (0, None)
    assert calibration([Prediction("v", "a", "a")]) is None


def test_epochs_have_whole_ticks_and_an_axis_starts_at_its_data():
    chart = charts.line_chart("t", [charts.Line("x", [(1, 5), (2, 5)])], "epoch", "y", whole=True)
    assert [tick.text for tick in chart.x_ticks] == ["1", "2"]
    assert chart.markers[0].text == "x: epoch 1, 5"
    assert charts.line_chart("t", [charts.Line("x", [])], "epoch", "y") is None


def test_settings_that_differ_and_experiments_that_differ_in_the_seed_alone():
    one = {"spec.train.seed": 1, "spec.model.backbone": "resnet_18"}
    two, three = one | {"spec.train.seed": 2}, {"spec.model.backbone": "i3d"}
    found = {"one": one, "two": two, "three": three}
    assert settings.differences(found) == {
        "spec.model.backbone": {"one": "resnet_18", "two": "resnet_18", "three": "i3d"},
        "spec.train.seed": {"one": "1", "two": "2", "three": ""},
    }
    assert settings.equal_but_seed(found) == [["one", "two"]]


@pytest.mark.parametrize(
    ("classes", "pairs"),
    [
        (["swipe_left", "swipe_right", "wave"], [("swipe_left", "swipe_right")]),
        (["SwipeLeft", "SwipeRight"], [("SwipeLeft", "SwipeRight")]),
        (
            ["Turning Hand Clockwise", "Turning Hand Counterclockwise"],
            [("Turning Hand Clockwise", "Turning Hand Counterclockwise")],
        ),
        (["turn_l", "turn_r"], [("turn_l", "turn_r")]),
        (
            ["from left to right", "from right to left"],
            [("from left to right", "from right to left")],
        ),
        (["left_over", "run", "bright", "leftover"], []),
        (["walk", "run"], []),
    ],
)
def test_classes_that_a_mirror_exchanges(classes, pairs):
    assert mirrored_pairs(classes) == pairs


@pytest.mark.parametrize("section", ["dataset", "dataset_config"])
def test_a_training_that_mirrors_such_classes_begins_with_a_warning(section):
    labels = {"swipe_left": 0, "swipe_right": 1}

    def of(**augmentation):
        return warning({section: {"label_map": labels, "augmentation_config": augmentation}})

    assert "swipe_left and swipe_right" in of()
    assert "horizontal_flip_prob: 0" in of(horizontal_flip_prob=1.0)
    assert of(horizontal_flip_prob=0.0) is None
    assert warning({section: {"label_map": {"walk": 0, "run": 1}}}) is None


def test_notes_on_the_data_the_worst_first():
    leaks = {"same content": [["walk/c (train)", "walk/d (test)"]], "look alike": []}
    parts = {"train": 3, "val": 1, "test": 9}
    dataset = {
        "classes": {"turn_left": {}, "turn_right": {}},
        "duplicates": [["walk/a", "run/b"]],
        "bad": [{"class": "walk", "file": "x.avi", "reason": "is empty"}],
        "splits": {"1": {"leaks": leaks, "classes": {"walk": parts}}, "2": {"problem": "none"}},
    }
    found = notes.data_notes(dataset, [1, 2], {"exp": 0.5, "still": 0.0})
    assert [note.level for note in found] == ["bad", "bad", "warn", "warn", "note"]
    assert found[0].entries == ["walk/c (train) = walk/d (test)"]
    assert "horizontal_flip_prob: 0" in found[1].text
    assert "(exp)" in found[1].text
    assert notes.data_notes(dataset, [2], {"still": 0.0})[0].level == "warn"


def test_a_leak_is_as_grave_as_on_the_dataset_page():
    leaks = {"same place": [["walk/a (train)", "run/b (test)"]], "same group": [["x", "y"]]}
    dataset = {"classes": {}, "splits": {"1": {"leaks": leaks, "classes": {}}}}
    bad, place = notes.data_notes(dataset, [1], {})
    assert (bad.level, place.level) == ("bad", "warn")
    assert bad.text.startswith("Split 1, one group in two parts. The model is tested on what it")
    assert "its score is too high" not in place.text
