"""Read TAO's status.json: one JSON object a line, appended over the runs of a task.

TAO 5.0 to 7.3 write it. For 3.21.11 to 4.0.1, which do not, the workflow writes that of a training
in the same form, so that a later run knows that it finished.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actionrec.native.status import EPOCHS
from actionrec.utils.small_files import read_bytes

NAME = "status.json"
EPOCH_ENDED = "Training loop in progress"
FINISHED = {
    "train": "Train finished successfully.",
    "evaluate": "Evaluate finished successfully.",
    "inference": "Inference finished successfully.",
    "export": "Export finished successfully.",
}

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Epoch:
    """How one epoch of a training went: losses, accuracies in percent, duration in seconds.

    `epoch` counts from 0, `lr` is its learning rate. What the toolkit does not tell is None.
    """

    epoch: int
    train_loss: float | None = None
    train_acc: float | None = None
    val_loss: float | None = None
    val_acc: float | None = None
    seconds: float | None = None
    lr: float | None = None

    @property
    def validated(self) -> bool:
        """Tell whether a validation followed the epoch."""
        return self.val_loss is not None or self.val_acc is not None


def read_records(folder: Path) -> list[Record]:
    """Return the lines of a task's status.json; lines that a kill cut short are left out."""
    return _read_lines(folder / NAME)


def _read_lines(path: Path) -> list[Record]:
    lines = read_bytes(path).decode(errors="replace").splitlines() if path.exists() else []
    records: list[Record] = []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def says_finished(task: str, records: Sequence[Record]) -> bool:
    """Tell whether the last line, the only one that counts, says that the task ended well.

    TAO 5.0 to 5.3 end with the status SUCCESS, newer ones with a sentence.
    """
    last = records[-1] if records else {}
    return last.get("status") == "SUCCESS" or last.get("message") == FINISHED[task]


def read_history(records: Iterable[Record]) -> list[Epoch]:
    """Return how each epoch of a training went.

    An epoch that a resumed training repeated counts once, as it went the last time.
    """
    rows: dict[int, dict[str, Any]] = {}
    epoch = None
    for record in records:
        kpi = record.get("kpi") or {}
        if record.get("message") == EPOCH_ENDED:
            # TAO 5.0 to 5.3, whose lines tell no step, count epochs from 1.
            epoch = int(record["epoch"]) - ("step" not in record)
            rows[epoch] = {**_figures("val", kpi), **_figures("train", kpi)}
            rows[epoch]["seconds"] = seconds(record.get("time_per_epoch"))
        elif record.get("message") == "Train metrics generated." and epoch is not None:
            # Since 5.5 the figures of the training follow in a line of their own.
            rows[epoch] |= _figures("train", kpi)
    return [Epoch(epoch, **rows[epoch]) for epoch in sorted(rows)]


def _figures(part: str, kpi: Mapping[str, float]) -> dict[str, float | None]:
    """Return loss and accuracy of the training or the validation; TAO's accuracy is a share."""
    share = kpi.get(f"{part}_acc")
    percent = None if share is None else round(100 * share, 3)
    return {f"{part}_loss": kpi.get(f"{part}_loss"), f"{part}_acc": percent}


def seconds(duration: str | None) -> float | None:
    """Convert TAO's `[D day, ]H:MM:SS.ffffff` to seconds; None if it is nothing like it."""
    match = re.fullmatch(r"(?:(\d+) days?, )?(\d+):(\d+):(\d+(?:\.\d+)?)", duration or "")
    if match is None:
        return None
    days, hours, minutes, rest = (float(part or 0) for part in match.groups())
    return round(86400 * days + 3600 * hours + 60 * minutes + rest, 3)


def read_epochs(folder: Path) -> list[Record]:
    """Return what the native engine tells of each epoch beyond TAO: learning rate and device."""
    return _read_lines(folder / EPOCHS)


def with_learning_rates(history: Iterable[Epoch], folder: Path) -> list[Epoch]:
    """Return the epochs of a training with their learning rates, where the engine tells them."""
    rates = {record.get("epoch"): record.get("lr") for record in read_epochs(folder)}
    return [replace(epoch, lr=rates.get(epoch.epoch)) for epoch in history]


def write_finished_training(folder: Path, history: Sequence[Epoch]) -> None:
    """Write the status.json of a training that finished, for a toolkit that writes none itself."""
    records: list[Record] = [
        # A step, though unknown, tells `read_history` that epochs count from 0.
        {"message": EPOCH_ENDED, "epoch": e.epoch, "step": None, "kpi": {"val_loss": e.val_loss}}
        for e in history
    ]
    with (folder / NAME).open("w", encoding="utf-8") as file:
        for record in [*records, {"message": FINISHED["train"]}]:
            file.write(json.dumps({"status": "RUNNING", **record}) + "\n")
