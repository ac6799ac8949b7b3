"""Put experiments side by side: summary.csv, and comparisons.csv with a test of each pair."""

import statistics as stdlib_statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from actionrec.dataset.split_table import read_split
from actionrec.experiments.predictions import Prediction, read_predictions
from actionrec.report import statistics
from actionrec.report.costs import Cost, cost
from actionrec.report.statistics import Accuracy, Comparison
from actionrec.utils.small_files import read_object
from actionrec.utils.tables import write_csv

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
    "baseline",
    "m_accuracy",
    "val_acc",
    "epoch",
    "epochs",
    "stopped",
    "hours",
    "gpu_hours",
    "engine",
)
COMPARISONS = (*(field.name for field in fields(Comparison)), "shown")


@dataclass(frozen=True)
class Run:
    """One experiment on one split, and where what it left is."""

    experiment: str
    split: int
    folder: Path

    @property
    def name(self) -> str:
        """Return what the report calls the run."""
        return f"{self.experiment}, split {self.split}"

    def json(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file in the run's folder."""
        return read_object(self.folder / name)

    @cached_property
    def predictions(self) -> list[Prediction]:
        """Return what the model says of each test video; the table is read once."""
        return read_predictions(self.folder / "predictions.csv")


def runs_of(files: Iterable[str], names: Iterable[tuple[str, int]]) -> list[Run]:
    """Return the runs (experiment, split) in whose folders these files are, in their order."""
    pairs = zip(files, names, strict=True)
    return [Run(exp, split, Path(file).parent) for file, (exp, split) in pairs]


def summarise(
    runs: Sequence[Run],
    *,
    benchmarks: Path | str,
    gpus: Mapping[str, int],
    summary: Path | str,
    comparisons: Path | str,
) -> None:
    """Write summary.csv, a row for each run and then for means, and comparisons.csv.

    Accuracies are in percent, with 95 % confidence intervals; the spread over splits is the sample
    standard deviation. `gpus` is how many GPUs each experiment trains on.
    """
    by_experiment: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_experiment[run.experiment].append(run)
    rows = [_row(run, Path(benchmarks), gpus[run.experiment]) for run in runs]
    for experiment, own in by_experiment.items():
        if len(own) > 1:
            rows += _over_splits(own, [row for row in rows if row["experiment"] == experiment])
    write_csv(summary, SUMMARY, rows)
    found = compare_all(by_experiment)
    write_csv(comparisons, COMPARISONS, [asdict(c) | {"shown": _yes(c.shown)} for c in found])


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _row(run: Run, benchmarks: Path, gpus: int) -> dict[str, Any]:
    metrics, choice = run.json("metrics.json"), run.json("model.json")
    predictions = run.predictions
    parts = Counter(row.part for row in read_split(run.folder / "split.tsv"))
    return {
        "experiment": run.experiment,
        "split": run.split,
        "classes": len(metrics["labels"]),
        "train_videos": parts["train"],
        "val_videos": parts["val"],
        "test_videos": metrics["videos"],
        "accuracy": metrics["accuracy"],
        **_interval(accuracy_of([predictions])),
        "baseline": round(100 * statistics.majority(predictions)[1], 3),
        "m_accuracy": metrics["m_accuracy"],
        "val_acc": choice["val_acc"],
        "epoch": choice["epoch"],
        "epochs": choice["epochs"],
        "stopped": choice.get("stopped", ""),
        **asdict(cost_of(run, benchmarks, gpus)),
        "engine": choice["engine"],
    }


def cost_of(run: Run, benchmarks: Path, gpus: int) -> Cost:
    """Return what a run's training has cost, its trial included."""
    jobs = [benchmarks / f"train_{what}" for what in ("model", "trial")]
    files = [job / f"{run.experiment}.split{run.split}.tsv" for job in jobs]
    return cost(files, run.folder / "history.csv", run.folder / "train", gpus)


def _interval(found: Accuracy) -> dict[str, float]:
    return {"accuracy_low": found.low, "accuracy_high": found.high}


def accuracy_of(splits: Iterable[Iterable[Prediction]]) -> Accuracy:
    """Return the accuracy of an experiment over the predictions of its splits."""
    answers: dict[Hashable, list[bool]] = defaultdict(list)
    for predictions in splits:
        for p in predictions:
            answers[p.label, p.video].append(p.correct)
    return statistics.accuracy(answers)


def _over_splits(runs: Sequence[Run], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of means and of sample standard deviations over an experiment's splits."""

    def row(name: str, function: Callable[[Iterable[float]], float]) -> dict[str, Any]:
        figures = {
            key: round(function([own[key] for own in rows]), 3)
            for key in ("accuracy", "m_accuracy")
        }
        return {"experiment": runs[0].experiment, "split": name, **figures}

    interval = _interval(accuracy_of(run.predictions for run in runs))
    mean, std = stdlib_statistics.fmean, stdlib_statistics.stdev
    return [row("mean", mean) | interval, row("std", std)]


def compare_all(by_experiment: Mapping[str, Sequence[Run]]) -> list[Comparison]:
    """Return the comparisons of all experiments that have the same classes, in their order."""
    answers: dict[str, dict[Hashable, dict[int, bool]]] = {}
    labels: dict[str, list[str]] = {}
    for experiment, runs in by_experiment.items():
        labels[experiment] = sorted(runs[0].json("metrics.json")["labels"])
        answers[experiment] = defaultdict(dict)
        for run in runs:
            for p in run.predictions:
                answers[experiment][p.label, p.video][run.split] = p.correct
    pairs = [pair for pair in combinations(answers, 2) if labels[pair[0]] == labels[pair[1]]]
    found = [c for pair in pairs if (c := statistics.compare(*pair, answers))]
    adjusted = statistics.holm([c.p for c in found])
    return [
        replace(c, p=round(c.p, 6), p_adjusted=round(p, 6))
        for c, p in zip(found, adjusted, strict=True)
    ]
