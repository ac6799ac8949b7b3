"""The report of made-up results, written as the rules write it."""

from collections.abc import Iterable
from pathlib import Path

from actionrec.report.page import Inputs, write_report
from actionrec.report.run import describe_run
from actionrec.report.summary import Run, summarise


def runs_in(experiments: Path, names: Iterable[tuple[str, int]]) -> list[Run]:
    """Return the runs (experiment, split) whose folders are in that of the experiments."""
    return [Run(exp, split, experiments / exp / f"split{split}") for exp, split in names]


def write_all(folder: Path, flips: float = 0.5) -> Path:
    """Write all that belongs to the report of `folder`, results/<dataset>; return the page."""
    experiments = folder / "experiments"
    names = sorted(run.parent.name for run in experiments.glob("*/split*"))
    numbers = sorted(int(run.name.removeprefix("split")) for run in experiments.glob("*/split*"))
    pairs = [(exp, k) for exp in dict.fromkeys(names) for k in dict.fromkeys(numbers)]
    runs = runs_in(experiments, pairs)
    summary, comparisons = folder / "summary.csv", folder / "comparisons.csv"
    gpus = dict.fromkeys(names, 1)
    options = {"benchmarks": folder / "benchmarks", "gpus": gpus}
    summarise(runs, summary=summary, comparisons=comparisons, **options)
    for run in runs:
        describe(run)
    inputs = Inputs(
        folder.name,
        runs,
        experiments,
        summary,
        comparisons,
        folder / "dataset.json",
        flips=dict.fromkeys(names, flips),
    )
    write_report(inputs, folder / "report.html", folder / "report.json")
    return folder / "report.html"


def describe(run: Run) -> None:
    """Write the parts of one run."""
    describe_run(
        run,
        report=run.folder / "report.json",
        figures=run.folder / "report.part.html",
        mistakes=run.folder / "mistakes.part.html",
    )
