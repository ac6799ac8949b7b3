"""Compare experiments: a table, and a page with training curves and confusion matrices."""

import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actionrec.dataset.split_table import read_split
from actionrec.experiments.predictions import read_predictions
from actionrec.report.intervals import FEW_VIDEOS, wilson
from actionrec.report.plots import plot_confusion, plot_history
from actionrec.utils.pages import write_page
from actionrec.utils.tables import read_csv, write_csv

SUMMARY = (
    "experiment",
    "split",
    "classes",
    "train_videos",
    "val_videos",
    "test_videos",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "m_accuracy",
    "val_acc",
    "epoch",
    "epochs",
    "stopped",
    "engine",
)
MISTAKES_SHOWN = 50  # of an experiment on a split, the highest scores first

Run = tuple[str, int]  # experiment, number of the split


def summarise(
    runs: Sequence[Run],
    metrics: Sequence[str],
    choices: Sequence[str],
    splits: Sequence[str],
    output: str | Path,
) -> None:
    """Write summary.csv: a row for each experiment and split, then mean and spread over splits.

    Accuracies are in percent, with the ends of their 95 % confidence interval; the spread is the
    sample standard deviation.
    """
    rows = [
        _row(run, _read_json(metric), _read_json(choice), _count_videos(split))
        for run, metric, choice, split in zip(runs, metrics, choices, splits, strict=True)
    ]
    by_experiment: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_experiment.setdefault(row["experiment"], []).append(row)
    for experiment, own in by_experiment.items():
        if len(own) > 1:
            rows += [
                _over_splits(experiment, own, name, function)
                for name, function in (("mean", statistics.fmean), ("std", statistics.stdev))
            ]
    write_csv(output, SUMMARY, rows)


def _read_json(path: str | Path) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _count_videos(split: str | Path) -> Counter[str]:
    """Count the videos of each part of a split."""
    return Counter(row.part for row in read_split(Path(split)))


def _row(
    run: Run, metrics: Mapping[str, Any], choice: Mapping[str, Any], parts: Counter[str]
) -> dict[str, Any]:
    low, high = _interval(metrics)
    return {
        "experiment": run[0],
        "split": run[1],
        "classes": len(metrics["labels"]),
        "train_videos": parts["train"],
        "val_videos": parts["val"],
        "test_videos": metrics["videos"],
        "accuracy": metrics["accuracy"],
        "accuracy_low": low,
        "accuracy_high": high,
        "m_accuracy": metrics["m_accuracy"],
        "val_acc": choice["val_acc"],
        "epoch": choice["epoch"],
        "epochs": choice["epochs"],
        "stopped": choice.get("stopped", ""),
        "engine": choice["engine"],
    }


def _interval(metrics: Mapping[str, Any]) -> tuple[float, float]:
    """Return the confidence interval of the accuracy of all test videos, in percent."""
    correct = sum(score["correct"] for score in metrics["per_class"].values())
    return wilson(correct, metrics["videos"])


def _over_splits(
    experiment: str,
    rows: Sequence[Mapping[str, Any]],
    name: str,
    function: Callable[[Iterable[float]], float],
) -> dict[str, Any]:
    figures = {
        key: round(function([row[key] for row in rows]), 3) for key in ("accuracy", "m_accuracy")
    }
    return dict.fromkeys(SUMMARY, "") | {"experiment": experiment, "split": name} | figures


def write_report(
    runs: Sequence[Run],
    *,
    template: str,
    summary: str,
    dataset: str,
    metrics: Iterable[str],
    histories: Iterable[str],
    predictions: Iterable[str],
    output: str | Path,
    verifications: Sequence[str] = (),
) -> None:
    """Write report.html: one page that holds all it shows and opens from disk.

    `verifications` are those of the exported models, where they were verified.
    """
    verified = [_read_json(file) for file in verifications] or [{}] * len(runs)
    sections = [
        _section(run, _read_json(metric), read_csv(history), prediction) | {"verified": checked}
        for run, metric, history, prediction, checked in zip(
            runs, metrics, histories, predictions, verified, strict=True
        )
    ]
    write_page(
        template,
        output,
        dataset=_read_json(dataset),
        columns=SUMMARY,
        rows=read_csv(summary),
        sections=sections,
    )


def _section(
    run: Run, metrics: Mapping[str, Any], history: Sequence[Mapping[str, str]], predictions: str
) -> dict[str, Any]:
    wrong = [p for p in read_predictions(predictions) if not p.correct]
    return {
        "title": f"{run[0]}, split {run[1]}",
        "id": f"{run[0]}-split{run[1]}",
        "metrics": metrics,
        "interval": _interval(metrics),
        "few": metrics["videos"] < FEW_VIDEOS,
        "curves": plot_history(history),
        "confusion": plot_confusion(metrics["confusion_matrix"], metrics["labels"]),
        "wrong": sorted(wrong, key=lambda p: -(p.score or 0))[:MISTAKES_SHOWN],
        "wrong_count": len(wrong),
    }
