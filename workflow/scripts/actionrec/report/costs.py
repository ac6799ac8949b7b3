"""What a training has cost: hours, and GPU-hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actionrec.experiments import status_json
from actionrec.utils.tables import read_csv, read_tsv


@dataclass(frozen=True)
class Cost:
    """The time of a training; without a GPU there are no GPU-hours."""

    hours: float
    gpu_hours: float | None


def cost(benchmarks: Sequence[Path], history: Path, train: Path, gpus: int) -> Cost:
    """Return the cost of a training on `gpus` GPUs, if the engine does not say it had none.

    The time is that of the jobs, by Snakemake's `benchmarks`, those of them that are there. The
    job that ended a killed training knows its own time alone: the epochs together may be longer.
    `train` is the folder with status.json.
    """
    jobs = sum(float(row["s"]) for file in benchmarks if file.exists() for row in read_tsv(file))
    epochs = sum(float(row["seconds"] or 0) for row in read_csv(history))
    hours = max(jobs, epochs) / 3600
    devices = {epoch.get("device") for epoch in status_json.read_epochs(train)}
    return Cost(round(hours, 4), None if devices == {"cpu"} else round(hours * gpus, 4))
