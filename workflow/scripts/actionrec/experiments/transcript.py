"""Read what TAO prints, and write it down as the status.json that TAO 3.21.11 to 4.0.1 lack."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actionrec.experiments import checkpoints
from actionrec.experiments import task_outcome as status
from actionrec.experiments.predictions import read_predictions

ACCURACIES = {"accuracy": "Total accuracy", "m_accuracy": "Average class accuracy"}


def read_accuracies(output: str) -> dict[str, float]:
    """Return the percentages that an evaluation printed below its table; empty without them."""
    found = {}
    for key, title in ACCURACIES.items():
        if matches := re.findall(rf"{title}: (\d+(?:\.\d+)?)", output):
            found[key] = float(matches[-1])
    return found


def write_status(task: str, folder: Path, output: str) -> None:
    """Add to status.json what a task that exited with 0 shows by its files and its words.

    Only a task that shows what it was run for is said to have finished: checkpoints, accuracies,
    predictions; whether an export has left its file is for the caller to see. A status.json of
    the toolkit's own stays as it is.
    """
    if status.read_status(folder):
        return
    evidence = {
        "train": lambda: list(_epochs(folder)),
        "evaluate": lambda: _evaluation(output),
        "inference": lambda: [{}] if read_predictions(folder, output) else [],
        "export": lambda: [{}],
    }[task]()
    if evidence:
        closing = {"kpi": evidence[-1].get("kpi", {}), "message": status.FINISHED[task]}
        with (folder / "status.json").open("w", encoding="utf-8") as file:
            for record in [*filter(None, evidence), closing]:
                file.write(json.dumps({"status": "RUNNING", **record}) + "\n")


def _epochs(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a line for each checkpoint, as TAO 7.3 writes one an epoch."""
    for checkpoint in checkpoints.checkpoints(folder):
        yield {
            "epoch": checkpoint.epoch,
            "step": None,
            "message": "Training loop in progress",
            "kpi": {"val_loss": checkpoint.val_loss},
        }


def _evaluation(output: str) -> list[dict[str, Any]]:
    found = read_accuracies(output)
    whole = found.keys() == ACCURACIES.keys()
    return [{"message": "Test metrics generated.", "kpi": found}] if whole else []
