"""Tell from what a TAO task left whether it finished, and how its training went."""

import json
import re
from pathlib import Path
from typing import Any

from actionrec.errors import InputError

FINISHED = {
    "train": "Train finished successfully.",
    "evaluate": "Evaluate finished successfully.",
    "inference": "Inference finished successfully.",
    "export": "Export finished successfully.",
}


HISTORY = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "seconds")


def read_status(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a task's status.json; half-written ones are left out."""
    path = folder / "status.json"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def finished(task: str, folder: Path) -> bool:
    """Tell whether a task ended well: the last line of status.json says so, and only that counts.

    TAO's exit codes and the mere presence of files mean nothing: failures may exit with 0, and a
    failed training may leave a checkpoint behind (TAO 5.5 to 7.3). TAO 5.0 to 5.3 end with the
    status SUCCESS, newer ones with a sentence.
    """
    last = (read_status(folder) or [{}])[-1]
    return last.get("status") == "SUCCESS" or last.get("message") == FINISHED[task]


def require_finished(task: str, folder: Path, code: int, output: str) -> None:
    """Raise `InputError` with the task's own words if it did not end well."""
    if code == 0 and finished(task, folder):
        return
    raise InputError(
        f"The {task} task failed: {_reason(folder, output)}",
        where=folder / "status.json",
        found=f"exit code {code}",
        fix="mend the cause and run the same command again; the rule's log holds all it printed",
    )


def _reason(folder: Path, output: str) -> str:
    """Return the failure line of status.json, or else the end of what the task printed."""
    records = read_status(folder)
    if records and records[-1].get("status") == "FAILURE":
        return str(records[-1].get("message"))
    lines = [line for line in re.split(r"[\r\n]+", output) if line.strip()]
    return "its last words were\n    " + "\n    ".join(lines[-8:]) if lines else "it said nothing"


def read_history(folder: Path) -> list[dict[str, float | int | None]]:
    """Return a row for each epoch of a training: losses, accuracies (0 to 1) and seconds.

    An epoch that a resumed training repeated counts once, as it went the last time. Epochs count
    from 0; TAO 5.0 to 5.3, whose lines tell no step, count them from 1.
    """
    rows: dict[int, dict[str, float | int | None]] = {}
    epoch = None
    for record in read_status(folder):
        kpi = record.get("kpi") or {}
        if record.get("message") == "Training loop in progress":
            epoch = int(record["epoch"]) - ("step" not in record)
            rows[epoch] = {
                "epoch": epoch,
                **{key: kpi.get(key) for key in HISTORY[1:-1]},
                "seconds": _seconds(record.get("time_per_epoch")),
            }
        elif record.get("message") == "Train metrics generated." and epoch is not None:
            rows[epoch] |= {key: kpi.get(key) for key in ("train_loss", "train_acc")}
    return [rows[epoch] for epoch in sorted(rows)]


def _seconds(duration: str | None) -> float | None:
    """Convert TAO's `[D day, ]H:MM:SS.ffffff` to seconds."""
    match = re.fullmatch(r"(?:(\d+) days?, )?(\d+):(\d+):(\d+(?:\.\d+)?)", duration or "")
    if match is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return round(86400 * days + 3600 * hours + 60 * minutes + seconds, 3)
