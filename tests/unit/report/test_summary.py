"""summary.csv and comparisons.csv."""

import json

import pytest

from actionrec.report.summary import summarise
from actionrec.utils.tables import read_csv
from helpers.report import runs_in
from helpers.results import make_results

LABELS = ["walk", "run"]


@pytest.fixture
def tables(tmp_path):
    """Return a function that summarises results in tmp_path and returns both tables."""

    def make(names, splits):
        runs = runs_in(tmp_path / "experiments", [(n, s) for n in names for s in splits])
        files = {name: tmp_path / f"{name}.csv" for name in ("summary", "comparisons")}
        gpus = dict.fromkeys(names, 2)
        summarise(runs, benchmarks=tmp_path / "benchmarks", gpus=gpus, **files)
        return read_csv(files["summary"]), read_csv(files["comparisons"])

    return make


def test_splits_end_in_mean_and_sample_deviation_with_an_interval_by_videos(tmp_path, tables):
    make_results(tmp_path, {"exp": 0.5}, LABELS, splits=(1, 2))
    rows, comparisons = tables(["exp"], [1, 2])
    assert [row["split"] for row in rows] == ["1", "2", "mean", "std"]
    assert comparisons == []
    one, two, mean, std = (float(row["accuracy"]) for row in rows)
    assert mean == pytest.approx((one + two) / 2)
    assert std == pytest.approx(abs(one - two) / 2**0.5, abs=1e-3)
    assert [row["val_acc"] for row in rows] == ["50.0", "50.0", "", ""]
    assert rows[0]["test_videos"] == "20"
    assert rows[0]["train_videos"] == "20"
    assert rows[0]["baseline"] == "50.0"
    for row in rows[:3]:
        assert float(row["accuracy_low"]) < float(row["accuracy"]) < float(row["accuracy_high"])
    # The splits test the same videos, so two of them know no more than one.
    width = [float(row["accuracy_high"]) - float(row["accuracy_low"]) for row in rows[:3]]
    assert width[2] > 0.95 * min(width[:2])


def test_time_is_that_of_the_jobs_or_of_all_epochs_if_longer(tmp_path, tables):
    make_results(tmp_path, {"exp": 0.5}, LABELS)
    rows, _ = tables(["exp"], [1])
    assert (rows[0]["hours"], rows[0]["gpu_hours"]) == ("0.0667", "0.1333")
    benchmark = tmp_path / "benchmarks/train_model/exp.split1.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\n7200.0\t2:00:00\n")
    rows, _ = tables(["exp"], [1])
    assert (rows[0]["hours"], rows[0]["gpu_hours"]) == ("2.0", "4.0")
    train = tmp_path / "experiments/exp/split1/train"
    train.mkdir()
    (train / "epochs.jsonl").write_text(json.dumps({"epoch": 0, "device": "cpu"}) + "\n")
    rows, _ = tables(["exp"], [1])
    assert (rows[0]["hours"], rows[0]["gpu_hours"]) == ("2.0", "")


def test_experiments_with_equal_classes_are_compared(tmp_path, tables):
    make_results(tmp_path, {"good": 1.0, "poor": 0.3}, LABELS)
    make_results(tmp_path, {"other": 0.5}, ["walk", "push"])
    _, comparisons = tables(["good", "poor", "other"], [1])
    (found,) = comparisons
    assert (found["better"], found["worse"], found["only_worse"]) == ("good", "poor", "0")
    assert found["shown"] == "yes"
    assert found["videos"] == "20"


def test_the_summary_names_what_stopped_a_training(tmp_path, tables):
    make_results(tmp_path, {"exp": 0.5}, LABELS)
    choice = tmp_path / "experiments/exp/split1/model.json"
    choice.write_text(json.dumps({**json.loads(choice.read_text()), "stopped": "budget"}))
    rows, _ = tables(["exp"], [1])
    assert rows[0]["stopped"] == "budget"
