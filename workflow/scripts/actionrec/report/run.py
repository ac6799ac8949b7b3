"""One experiment on one split: report.json with its figures, and its two parts of the page.

Each run has its own, so that one more experiment remakes no other's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actionrec.experiments.predictions import Prediction
from actionrec.report import confusions, statistics
from actionrec.report.calibration import Calibration, calibration
from actionrec.report.filmstrips import Filmstrip, filmstrip
from actionrec.report.summary import Run, accuracy_of
from actionrec.utils.files import write_text
from actionrec.utils.pages import render, templates
from actionrec.utils.pages.charts import Chart, Line, line_chart, matrix_layout
from actionrec.utils.tables import read_csv

PICTURE_BYTES = 600_000  # of a run; the videos that come after it are named without pictures


def describe_run(
    run: Run, *, report: Path | str, figures: Path | str, mistakes: Path | str
) -> None:
    """Write report.json, and the page's parts with the figures and with the mistakes of a run."""
    predictions, metrics = run.predictions, run.json("metrics.json")
    history, explained = read_csv(run.folder / "history.csv"), run.json("explanations.json")
    content = _content(run, predictions, metrics)
    write_text(report, json.dumps(content, indent=1) + "\n")
    matrix, labels = metrics["confusion_matrix"], metrics["labels"]
    found = calibration(predictions)
    page = render(
        templates("report") / "run.html.jinja",
        run=run,
        content=content,
        curves=curves(history),
        seconds=sum(float(row["seconds"] or 0) for row in history),
        matrix=matrix_layout(matrix, labels),
        labels=labels,
        reliability=found and _reliability(found),
        thresholds=found and _thresholds(found),
    )
    write_text(figures, page)
    strips = [filmstrip(entry, run.folder / "data") for entry in explained["videos"]]
    page = render(
        templates("report") / "mistakes.html.jinja",
        run=run,
        wrong=sum(not p.correct for p in predictions),
        groups=_groups(_within_budget(strips)),
    )
    write_text(mistakes, page)


def _content(
    run: Run, predictions: Sequence[Prediction], metrics: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the page shows of a run, for programs."""
    matrix, labels = metrics["confusion_matrix"], metrics["labels"]
    label, share = statistics.majority(predictions)
    one_class = statistics.one_class(predictions)
    found = calibration(predictions)
    return {
        "experiment": run.experiment,
        "split": run.split,
        "accuracy": asdict(accuracy_of([predictions])),
        "m_accuracy": metrics["m_accuracy"],
        "evaluate": metrics.get("evaluate", {}),
        "baseline": {"label": label, "percent": round(100 * share, 3)},
        "one_class": one_class and {"label": one_class[0], "percent": round(100 * one_class[1], 3)},
        "top_k": confusions.top_k(predictions, len(labels)),
        "classes": [asdict(c) for c in confusions.figures_of_classes(matrix, labels)],
        "confusions": [asdict(c) for c in confusions.largest_confusions(matrix, labels)],
        "confusion_matrix": matrix,
        "labels": labels,
        "calibration": found and asdict(found),
    }


def curves(history: Sequence[Mapping[str, str]]) -> list[Chart]:
    """Return the charts of loss, accuracy and learning rate over the epochs of history.csv."""

    def line(column: str, name: str, style: str) -> Line:
        points = [
            (float(row["epoch"]) + 1, float(row[column])) for row in history if row.get(column)
        ]
        return Line(name, points, style)

    charts = [
        line_chart(
            title,
            [line(f"train_{what}", "train", "b"), line(f"val_{what}", "val", "a")],
            "epoch",
            title.lower(),
            whole=True,
        )
        for what, title in (("loss", "Loss"), ("acc", "Accuracy (%)"))
    ]
    rate = [line("lr", "", "a")]
    charts.append(line_chart("Learning rate", rate, "epoch", "learning rate", whole=True))
    return [chart for chart in charts if chart]


PERCENT = (0.0, 100.0)


def _reliability(found: Calibration) -> Chart | None:
    points = [(b.score, b.accuracy) for b in found.bins]
    ideal = Line("ideal", [(0, 0), (100, 100)], "ideal")
    lines = [ideal, Line("model", points, "a")]
    return line_chart(
        "Can the scores be believed?",
        lines,
        "mean score (%)",
        "right answers (%)",
        x_range=PERCENT,
        y_range=PERCENT,
    )


def _thresholds(found: Calibration) -> Chart | None:
    answered = [(100 * t.score, t.answered) for t in found.thresholds]
    right = [(100 * t.score, t.accuracy) for t in found.thresholds if t.accuracy is not None]
    lines = [Line("answered", answered, "b"), Line("right of these", right, "a")]
    return line_chart(
        "Answers below a score left out",
        lines,
        "score (%)",
        "videos (%)",
        x_range=PERCENT,
        y_range=PERCENT,
    )


def _within_budget(strips: Sequence[Filmstrip]) -> list[tuple[Filmstrip, bool]]:
    """Return the filmstrips, each with whether its pictures are shown."""
    used, found = 0, []
    for strip in strips:
        used += strip.size
        found.append((strip, used <= PICTURE_BYTES))
    return found


def _groups(
    strips: Sequence[tuple[Filmstrip, bool]],
) -> list[tuple[str, list[tuple[Filmstrip, bool]]]]:
    titles = {
        "mistake": "The surest mistakes",
        "unsure": "Right, but least sure",
    }
    groups = [
        (title, [pair for pair in strips if pair[0].entry["kind"] == kind])
        for kind, title in titles.items()
    ]
    return [group for group in groups if group[1]]
