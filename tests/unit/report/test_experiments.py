"""The summary over experiments and the page."""

import json
from pathlib import Path

import pytest

from actionrec.dataset import split_table
from actionrec.experiments.predictions import Prediction, read_predictions, write_predictions
from actionrec.experiments.tasks import HISTORY
from actionrec.native import metrics
from actionrec.report import experiments
from actionrec.report.plots import plot_confusion
from actionrec.utils import tables
from actionrec.utils.tables import read_csv, write_table

LABELS = ["<walk>", "run & jump"]


@pytest.fixture
def runs(tmp_path):
    """Return the files of one experiment on two splits, the second one better."""
    files = {"metrics": [], "choices": [], "splits": [], "histories": [], "predictions": []}
    for number, right in ((1, False), (2, True)):
        folder = tmp_path / f"split{number}"
        parts = ("train", "train", "val")
        rows = [(part, LABELS[0], f"{part}1", 9, "png", "0", "") for part in parts]
        write_table(folder / "split.tsv", split_table.COLUMNS, rows)
        predictions = [
            Prediction("a", LABELS[0], LABELS[0], 0.9),
            Prediction("<b>", LABELS[1], LABELS[right]),
        ]
        write_predictions(folder / "predictions.csv", predictions)
        confusion = metrics.confusion_matrix([(0, 0), (1, int(right))], 2)
        scores = metrics.metrics_of_videos(confusion, LABELS)
        scores["evaluate"] = {"clip_accuracy": 12.5, "clip_m_accuracy": 37.5}
        (folder / "metrics.json").write_text(json.dumps(scores))
        choice = {"val_acc": 50.0, "epoch": 1, "epochs": 2, "engine": "native"}
        (folder / "model.json").write_text(json.dumps(choice))
        history = [
            {"epoch": e, "train_loss": 1 - e / 2, "train_acc": 50.0, "seconds": 1} for e in (0, 1)
        ]
        tables.write_csv(folder / "history.csv", HISTORY, history)
        for kind, name in zip(
            files,
            ("metrics.json", "model.json", "split.tsv", "history.csv", "predictions.csv"),
            strict=True,
        ):
            files[kind].append(str(folder / name))
    return files


def summarise(runs, output):
    experiments.summarise(
        [("exp", 1), ("exp", 2)], runs["metrics"], runs["choices"], runs["splits"], output
    )
    return read_csv(output)


def test_the_summary_names_what_stopped_a_training(runs, tmp_path):
    choice = Path(runs["choices"][1])
    choice.write_text(json.dumps({**json.loads(choice.read_text()), "stopped": "budget"}))
    rows = summarise(runs, tmp_path / "summary.csv")
    assert [row["stopped"] for row in rows] == ["", "budget", "", ""]


def test_several_splits_end_in_mean_and_sample_deviation(runs, tmp_path):
    rows = summarise(runs, tmp_path / "summary.csv")
    assert [row["split"] for row in rows] == ["1", "2", "mean", "std"]
    assert [row["accuracy"] for row in rows] == ["50.0", "100.0", "75.0", "35.355"]
    ends = [(row["accuracy_low"], row["accuracy_high"]) for row in rows]
    assert ends == [("9.5", "90.5"), ("34.2", "100.0"), ("", ""), ("", "")]
    assert [row["val_acc"] for row in rows] == ["50.0", "50.0", "", ""], "in percent as well"
    assert (rows[0]["train_videos"], rows[0]["val_videos"], rows[0]["test_videos"]) == (
        "2",
        "1",
        "2",
    )


def test_the_page_shows_names_as_they_are_and_is_reproducible(runs, tmp_path, repository):
    summarise(runs, tmp_path / "summary.csv")
    counts = {"videos": 4, "frames": 36, "bad": 1}
    dataset = {"classes": {LABELS[0]: counts}, "duplicates": [["<walk>/a", "run & jump/b"]]}
    leaks = {"same content": [["walk/c (train)", "walk/d (test)"]], "look alike": []}
    dataset["splits"] = {"1": {"leaks": leaks}, "2": {"problem": "none"}}
    (tmp_path / "dataset.json").write_text(json.dumps(dataset))
    pages = []
    for name in ("one.html", "two.html"):
        experiments.write_report(
            [("exp", 1), ("exp", 2)],
            template=str(repository / "workflow/report/report.html.jinja"),
            summary=str(tmp_path / "summary.csv"),
            dataset=str(tmp_path / "dataset.json"),
            metrics=runs["metrics"],
            histories=runs["histories"],
            predictions=runs["predictions"],
            output=tmp_path / name,
        )
        pages.append((tmp_path / name).read_text())
    assert pages[0] == pages[1]
    assert "&lt;walk&gt;" in pages[0]
    assert "<b>" not in pages[0], "a video's name must not become markup"
    assert pages[0].count("data:image/svg+xml") == 4
    assert "1 wrong video<" in pages[0]
    assert "<li>&lt;walk&gt;/a = run &amp; jump/b</li>" in pages[0]
    assert "Split 1, same content in two parts" in pages[0]
    assert "<li>walk/c (train) = walk/d (test)</li>" in pages[0]
    assert "look alike in two parts" not in pages[0]
    assert "95 % confidence interval 9.5 to 90.5 %" in pages[0]
    assert "splits.numbers: [1, 2, 3, 4, 5]" in pages[0]
    assert "Counted clip by clip, as TAO does: 12.5 %, 37.5 %." in pages[0]


@pytest.mark.parametrize("labels", [["a$b$", "$$"], ["$\\frac$", "x"], ["=1", "caf\udce9"]])
def test_classes_with_dollars_are_no_formulas(labels):
    assert plot_confusion([[1, 0], [0, 2]], labels).startswith("data:image/svg+xml")


def test_predictions_of_any_name_are_read_back(tmp_path):
    names = ["=1+1", "-2+3|x", "a\nb", "caf\udce9", "-_FREE_HUGS_-_goo_1", "'=x"]
    written = [Prediction(name, "=x", "walk", 0.5) for name in names]
    write_predictions(tmp_path / "predictions.csv", written)
    assert read_predictions(tmp_path / "predictions.csv") == written
    raw = (tmp_path / "predictions.csv").read_bytes().splitlines()
    assert raw[1] == b"'=1+1,'=x,walk,false,0.5"
    assert b"\n-_FREE_HUGS_-_goo_1," in (tmp_path / "predictions.csv").read_bytes()


def test_the_page_shows_what_the_exported_models_do(runs, tmp_path, repository):
    summarise(runs, tmp_path / "summary.csv")
    counts = {LABELS[0]: {"videos": 4, "frames": 36, "bad": 1}}
    (tmp_path / "dataset.json").write_text(json.dumps({"classes": counts}))
    check = {
        "provider": "CPUExecutionProvider",
        "agreement": 99.5,
        "accuracy": 87.5,
        "videos_per_second": 12.25,
        "latency_ms": 3.75,
        "calibration_error": {"before": 0.125, "after": 0.0625},
        "unknown": 3,
    }
    left_out = {"videos": 60, "classes": ["run"], "unknown": 22}
    (tmp_path / "v.json").write_text(json.dumps({"fp32": check, "left_out": left_out}))
    uncalibrated = {"fp32": {**check, "calibration_error": None}, "left_out": None}
    (tmp_path / "w.json").write_text(json.dumps(uncalibrated))
    experiments.write_report(
        [("exp", 1), ("exp", 2)],
        template=str(repository / "workflow/report/report.html.jinja"),
        summary=str(tmp_path / "summary.csv"),
        dataset=str(tmp_path / "dataset.json"),
        metrics=runs["metrics"],
        histories=runs["histories"],
        predictions=runs["predictions"],
        verifications=[str(tmp_path / "v.json"), str(tmp_path / "w.json")],
        output=tmp_path / "page.html",
    )
    page = (tmp_path / "page.html").read_text()
    assert page.count("fp32, CPUExecutionProvider") == 2
    assert "0.125, 0.0625" in page
    assert "not calibrated" in page
    assert "Of 60 videos of other classes (run), 22 are called unknown." in page
