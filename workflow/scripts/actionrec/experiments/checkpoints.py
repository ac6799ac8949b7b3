"""Find the checkpoints of a training and choose the one that becomes the model."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from actionrec.errors import InputError
from actionrec.experiments.task_outcome import read_history
from actionrec.utils.files import write_text

# model_epoch_004_step_00123.pth (6.0 to 7.3), model_epoch_004.pth (5.5), model_best_004.pth (7.3),
# ar_model_epoch=004.tlt (5.0 to 5.3), ar_model_epoch=19-val_loss=0.05.tlt (3.21.11).
CHECKPOINT = re.compile(
    r"(?:ar_)?model_(?:epoch|best)[_=](?P<epoch>\d+)(?:_step_(?P<step>\d+))?"
    r"(?:-val_loss=(?P<val_loss>\d+\.\d+))?(?:-v\d+)?\.(?:pth|tlt)"
)


@dataclass(frozen=True)
class Checkpoint:
    """One of the checkpoints that a training wrote; `epoch` counts from 0.

    `val_loss` is the validation loss where the file's name tells it.
    """

    path: Path
    epoch: int
    val_loss: float | None = None


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints of a training by epoch.

    Those of step 0 are left out: TAO writes one when the training fails before its first step.
    """
    found = []
    for path in folder.glob("*model_*"):
        match = CHECKPOINT.fullmatch(path.name)
        if match and not path.is_symlink() and match["step"] != "00000":
            val_loss = float(match["val_loss"]) if match["val_loss"] else None
            found.append(Checkpoint(path, int(match["epoch"]), val_loss))
    return sorted(found, key=lambda checkpoint: (checkpoint.epoch, checkpoint.path.name))


def require_last(folder: Path, epoch: int | None) -> None:
    """Raise `InputError` unless there is a checkpoint of the last epoch that should have one."""
    last = max((checkpoint.epoch for checkpoint in checkpoints(folder)), default=None)
    if epoch is not None and (last is None or last < epoch):
        raise InputError(
            "The training says that it finished, and its last checkpoint is missing.",
            where=folder,
            found="no checkpoint" if last is None else f"the last is of epoch {last}",
            allowed=[f"epoch {epoch}, counted from 0"],
            fix=f"remove {folder} and run the same command again",
        )


def choose(folder: Path, select: str) -> tuple[Checkpoint, str]:
    """Return the checkpoint to go on with, and why.

    `select` is `best` (highest validation accuracy where that is known, then lowest validation
    loss, then the earliest) or `last`. Without validation the last is taken. Raises `InputError`
    when the training left none.
    """
    found = checkpoints(folder)
    if not found:
        raise InputError(
            "The training left no checkpoint.",
            where=folder,
            fix="lower train.checkpoint_interval to train.num_epochs or less",
        )
    measured = ("val_acc", "val_loss")
    validated = {
        row["epoch"]: row
        for row in read_history(folder)
        if any(row[key] is not None for key in measured)
    }
    candidates = [checkpoint for checkpoint in found if checkpoint.epoch in validated]
    if select == "last" or not candidates:
        return found[-1], "the last epoch" + ("" if select == "last" else ": nothing was validated")

    def merit(checkpoint: Checkpoint) -> tuple[float, float, int]:
        accuracy, loss = (validated[checkpoint.epoch][key] for key in measured)
        return (
            -inf if accuracy is None else accuracy,
            -inf if loss is None else -loss,
            -checkpoint.epoch,
        )

    best = max(candidates, key=merit)
    first = "" if merit(best)[0] == -inf else "highest validation accuracy, then "
    return best, f"{first}lowest validation loss, then earliest"


def write_choice(
    target: Path, chosen: Checkpoint, reason: str, history: Sequence[Mapping[str, Any]], engine: str
) -> None:
    """Write model.json: which checkpoint the model is, and why."""
    row = next((row for row in history if row["epoch"] == chosen.epoch), {})
    choice = {
        "checkpoint": f"{chosen.path.parent.name}/{chosen.path.name}",
        "epoch": chosen.epoch,
        "epochs": len(history),
        "reason": reason,
        "val_acc": row.get("val_acc"),
        "val_loss": row.get("val_loss"),
        "engine": engine,
    }
    write_text(target, json.dumps(choice, indent=2) + "\n")
