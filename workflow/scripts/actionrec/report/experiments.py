"""Put experiments side by side: a table, and a page with curves and confusion matrices."""

import base64
import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from actionrec.dataset.splits import read_split
from actionrec.experiments.results import load_predictions, read_csv, write_csv
from actionrec.utils.files import write_text

SUMMARY = (
    "experiment",
    "split",
    "classes",
    "train_videos",
    "val_videos",
    "test_videos",
    "accuracy",
    "m_accuracy",
    "val_acc",
    "epoch",
    "epochs",
    "stopped",
    "engine",
)
MISTAKES_SHOWN = 50

Run = tuple[str, int]


def summarise(
    runs: Sequence[Run],
    metrics: Sequence[str],
    choices: Sequence[str],
    splits: Sequence[str],
    output: str | Path,
) -> None:
    """Write summary.csv: a row for each experiment and split, then mean and spread over splits.

    Accuracies are percentages, val_acc a share; the spread is the sample standard deviation.
    """
    rows = [
        _row(run, _json(metric), _json(choice), _videos(split))
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


def _json(path: str | Path) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _videos(split: str | Path) -> Counter[str]:
    """Count the videos of each part of a split."""
    return Counter(row.part for row in read_split(Path(split)))


def _row(
    run: Run, metrics: Mapping[str, Any], choice: Mapping[str, Any], parts: Counter[str]
) -> dict[str, Any]:
    return {
        "experiment": run[0],
        "split": run[1],
        "classes": len(metrics["labels"]),
        "train_videos": parts["train"],
        "val_videos": parts["val"],
        "test_videos": metrics["videos"],
        "accuracy": metrics["accuracy"],
        "m_accuracy": metrics["m_accuracy"],
        "val_acc": choice["val_acc"],
        "epoch": choice["epoch"],
        "epochs": choice["epochs"],
        "stopped": choice.get("stopped", ""),
        "engine": choice["engine"],
    }


def _over_splits(
    experiment: str, rows: Sequence[Mapping[str, Any]], name: str, function: Any
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
) -> None:
    """Write report.html: one page that holds all it shows and opens from disk."""
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        Path(template).read_text(encoding="utf-8")
    )
    sections = [
        _section(run, _json(metric), read_csv(history), prediction)
        for run, metric, history, prediction in zip(
            runs, metrics, histories, predictions, strict=True
        )
    ]
    html = page.render(
        dataset=_json(dataset), columns=SUMMARY, rows=read_csv(summary), sections=sections
    )
    write_text(output, html)


def _section(
    run: Run, metrics: Mapping[str, Any], history: Sequence[Mapping[str, str]], predictions: str
) -> dict[str, Any]:
    wrong = [p for p in load_predictions(predictions) if not p.correct]
    return {
        "title": f"{run[0]}, split {run[1]}",
        "id": f"{run[0]}-split{run[1]}",
        "metrics": metrics,
        "curves": plot_history(history),
        "confusion": plot_confusion(metrics["confusion_matrix"], metrics["labels"]),
        "wrong": sorted(wrong, key=lambda p: -(p.score or 0))[:MISTAKES_SHOWN],
        "wrong_count": len(wrong),
    }


def plot_history(history: Sequence[Mapping[str, str]]) -> str:
    """Draw loss and accuracy over the epochs; return the picture as a data address."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    for axes, what in zip(figure.subplots(1, 2), ("loss", "acc"), strict=True):
        for part, style in (("train", "--"), ("val", "-")):
            points = [
                (int(row["epoch"]) + 1, float(row[f"{part}_{what}"]))
                for row in history
                if row[f"{part}_{what}"]
            ]
            if points:
                axes.plot(*zip(*points, strict=True), style, marker="o", markersize=3, label=part)
                axes.legend()
        axes.set_xlabel("epoch")
        axes.set_ylabel({"loss": "loss", "acc": "accuracy"}[what])
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    return picture(figure)


def plot_confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draw a confusion matrix, rows true and columns predicted; return it as a data address."""
    from matplotlib.figure import Figure

    size = min(14.0, 2.2 + 0.45 * len(labels))
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = [[n / max(1, sum(row)) for n in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for y, row in enumerate(matrix):
        for x, count in enumerate(row):
            if count:
                color = "white" if shares[y][x] > 0.5 else "black"
                axes.text(x, y, count, ha="center", va="center", color=color, fontsize=8)
    return picture(figure)


def picture(figure: Any) -> str:
    """Render a figure as SVG without a date, so that equal results give equal pages."""
    import matplotlib

    buffer = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "actionrec"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
