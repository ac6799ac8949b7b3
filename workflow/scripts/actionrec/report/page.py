"""report.html: all experiments of a dataset on one page that opens from disk."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from actionrec.report import notes, reproduce, settings
from actionrec.report.deployment import Deployment, deployment
from actionrec.report.statistics import FEW_VIDEOS
from actionrec.report.summary import Run, accuracy_of, runs_of
from actionrec.utils.files import write_text
from actionrec.utils.pages import templates, write_page
from actionrec.utils.rule_script import Job
from actionrec.utils.small_files import read_object, read_text
from actionrec.utils.tables import read_csv

MISTAKES_BYTES = 7_000_000  # of all runs; the rest stays in files of its own, which the page names


@dataclass(frozen=True)
class Inputs:
    """What the page is made from. `flips` is how probable each experiment mirrors a clip."""

    name: str
    runs: Sequence[Run]
    experiments: Path
    summary: Path
    comparisons: Path
    dataset: Path
    sources: Sequence[str] = ()  # the experiments whose models others start from
    flips: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_rule(cls, snakemake: Job) -> "Inputs":
        """Return what a rule's inputs and params describe."""
        given, params = snakemake.input, snakemake.params
        runs = runs_of(given.reports, params.runs)
        return cls(
            name=params.name,
            runs=runs,
            experiments=runs[0].folder.parents[1],
            summary=Path(given.summary),
            comparisons=Path(given.comparisons),
            dataset=Path(given.dataset),
            sources=params.sources,
            flips=params.flips,
        )


@dataclass(frozen=True)
class Experiment:
    """An experiment over its splits, as the first two sections show it.

    `accuracy` and `baseline` are in percent, `spread` the standard deviation over splits.
    """

    name: str
    labels: list[str]
    splits: int
    accuracy: dict[str, Any]
    spread: float | None
    m_accuracy: float
    baseline: float
    baseline_label: str
    one_class: dict[str, Any] | None
    epochs: str
    stopped: bool
    hours: float
    gpu_hours: float | None
    is_source: bool = False

    @property
    def better_than_baseline(self) -> bool:
        """Tell whether even the low end of the interval is above the majority class's share."""
        return bool(self.accuracy["low"] > self.baseline)


def write_report(inputs: Inputs, output: Path | str, data: Path | str) -> None:
    """Write report.html, and report.json with what it shows of the experiments together."""
    rows = read_csv(inputs.summary)
    names = list(dict.fromkeys(run.experiment for run in inputs.runs))
    reports = {run: run.json("report.json") for run in inputs.runs}
    experiments = [_experiment(name, inputs, rows, reports) for name in names]
    best, found = best_of(experiments), _data_notes(inputs)
    content = {
        "dataset": inputs.name,
        "best": best.name,
        "experiments": [asdict(experiment) for experiment in experiments],
        "comparisons": read_csv(inputs.comparisons),
        **_settings(inputs.experiments, names, rows),
        "notes": [asdict(note) for note in found],
        "deployment": [asdict(d) for d in _deployments(inputs.runs)],
        "versions": reproduce.versions() | reproduce.commit(Path(__file__).parent),
    }
    write_text(data, json.dumps(content, indent=1) + "\n")
    # The best experiment's runs first, the others in the order of the configuration.
    order = sorted(inputs.runs, key=lambda run: run.experiment != best.name)
    write_page(
        templates("report") / "page.html.jinja",
        output,
        **content | {"notes": found},
        best_experiment=best,
        few=best.accuracy["videos"] < FEW_VIDEOS,
        all_experiments=experiments,
        several=len([e for e in experiments if e.labels == best.labels]) > 1,
        engines=sorted({row["engine"] for row in rows if row["engine"]}),
        runs=order,
        reports=reports,
        first_wrong=next((r for r in order if reports[r]["accuracy"]["percent"] < 100), None),
        figures=[_part(run, "report.part.html") for run in order],
        mistakes=_mistakes(order),
        listed=notes.LISTED,
    )


def _data_notes(inputs: Inputs) -> list[notes.Note]:
    """Return what is known of the data on the splits that the runs are of."""
    dataset = read_object(inputs.dataset)
    splits = sorted({run.split for run in inputs.runs})
    return notes.data_notes(dataset, splits, inputs.flips)


def _settings(
    experiments: Path, names: Sequence[str], rows: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """Return the recorded settings of the experiments, and in which of them they differ."""
    recorded = settings.read_settings(experiments, names)
    return {
        "settings": recorded,
        "differences": settings.differences(recorded),
        "equal_but_seed": [_seeds(group, rows) for group in settings.equal_but_seed(recorded)],
    }


def best_of(experiments: Sequence[Experiment]) -> Experiment:
    """Return the experiment with the highest accuracy, of those that are no other's start."""
    own = [e for e in experiments if not e.is_source] or list(experiments)
    return max(own, key=lambda e: e.accuracy["percent"])


def _experiment(
    name: str,
    inputs: Inputs,
    rows: Sequence[Mapping[str, str]],
    reports: Mapping[Run, Mapping[str, Any]],
) -> Experiment:
    runs = [run for run in inputs.runs if run.experiment == name]
    own = [row for row in rows if row["experiment"] == name]
    figures = {row["split"]: row for row in own}
    mean = figures.get("mean", own[0])
    of_splits = [row for row in own if row["split"] not in ("mean", "std")]
    gpu_hours = [float(row["gpu_hours"]) for row in of_splits if row["gpu_hours"]]
    first = reports[runs[0]]
    alarms = [reports[run]["one_class"] for run in runs if reports[run]["one_class"]]
    return Experiment(
        name=name,
        labels=first["labels"],
        splits=len(runs),
        accuracy=asdict(accuracy_of(run.predictions for run in runs)),
        spread=float(figures["std"]["accuracy"]) if "std" in figures else None,
        m_accuracy=float(mean["m_accuracy"]),
        baseline=round(sum(float(row["baseline"]) for row in of_splits) / len(of_splits), 3),
        baseline_label=first["baseline"]["label"],
        one_class=alarms[0] if alarms else None,
        epochs=", ".join(dict.fromkeys(row["epochs"] for row in of_splits)),
        stopped=any(row["stopped"] for row in of_splits),
        hours=round(sum(float(row["hours"]) for row in of_splits), 4),
        gpu_hours=round(sum(gpu_hours), 4) if gpu_hours else None,
        is_source=name in inputs.sources,
    )


def _seeds(group: Sequence[str], rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return mean and spread of experiments that differ in the seed alone, over all splits."""
    values = [
        float(row["accuracy"])
        for row in rows
        if row["experiment"] in group and row["split"] not in ("mean", "std")
    ]
    return {
        "experiments": list(group),
        "runs": len(values),
        "mean": round(statistics.fmean(values), 3),
        "std": round(statistics.stdev(values), 3),
    }


def _part(run: Run, name: str) -> str:
    return read_text(run.folder / name)


def _mistakes(runs: Sequence[Run]) -> list[tuple[Run, str | None]]:
    """Return the parts with the mistakes, the best experiment's first; None beyond the limit."""
    used, found = 0, []
    for run in runs:
        part = _part(run, "mistakes.part.html")
        used += len(part.encode())
        found.append((run, part if used <= MISTAKES_BYTES else None))
    return found


def _deployments(runs: Sequence[Run]) -> list[Deployment]:
    return [found for run in runs if (found := deployment(run))]
