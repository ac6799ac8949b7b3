"""Read what a TAO task left behind, and say what it means in files of one form."""

import ast
import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from actionrec.errors import InputError
from actionrec.files import write_text

FINISHED = {
    "train": "Train finished successfully.",
    "evaluate": "Evaluate finished successfully.",
    "inference": "Inference finished successfully.",
    "export": "Export finished successfully.",
}
CHECKPOINT = re.compile(r"model_(?:epoch|best)_(?P<epoch>\d+)(?:_step_(?P<step>\d+))?\.pth")
PREDICTION = re.compile(r"(/[^\r\n]*?|[^\s/][^\r\n]*?/[^\r\n]*?) : (\[[^\]]*\])")
HISTORY = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "seconds")


@dataclass(frozen=True)
class Checkpoint:
    """One of the checkpoints that a training wrote; `epoch` counts from 0."""

    path: Path
    epoch: int


@dataclass(frozen=True)
class Prediction:
    """What the model says of one test video; `score` is its probability where known."""

    video: str
    label: str
    prediction: str
    correct: bool
    score: float | None = None


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
    failed training may leave a checkpoint behind (TAO 5.5 to 7.3).
    """
    records = read_status(folder)
    return bool(records) and records[-1].get("message") == FINISHED[task]


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

    An epoch that a resumed training repeated counts once, as it went the last time.
    """
    rows: dict[int, dict[str, float | int | None]] = {}
    epoch = None
    for record in read_status(folder):
        kpi = record.get("kpi") or {}
        if record.get("message") == "Training loop in progress":
            epoch = int(record["epoch"])
            rows[epoch] = dict.fromkeys(HISTORY) | {
                "epoch": epoch,
                "val_loss": kpi.get("val_loss"),
                "val_acc": kpi.get("val_acc"),
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


def checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints of a training by epoch.

    Those of step 0 are left out: TAO writes one when the training fails before its first step.
    """
    found = []
    for path in folder.glob("model_*.pth"):
        match = CHECKPOINT.fullmatch(path.name)
        if match and not path.is_symlink() and match["step"] != "00000":
            found.append(Checkpoint(path, int(match["epoch"])))
    return sorted(found, key=lambda checkpoint: (checkpoint.epoch, checkpoint.path.name))


def choose(folder: Path, select: str) -> tuple[Checkpoint, str]:
    """Return the checkpoint to go on with, and why.

    `select` is `best` (highest validation accuracy, then lowest validation loss, then the
    earliest) or `last`. Without validation the last is taken. Raises `InputError` when the
    training left none.
    """
    found = checkpoints(folder)
    if not found:
        raise InputError(
            "The training left no checkpoint.",
            where=folder,
            fix="lower train.checkpoint_interval to train.num_epochs or less",
        )
    validated = {row["epoch"]: row for row in read_history(folder) if row["val_acc"] is not None}
    candidates = [checkpoint for checkpoint in found if checkpoint.epoch in validated]
    if select == "last" or not candidates:
        return found[-1], "the last epoch" + ("" if select == "last" else ": nothing was validated")

    def merit(checkpoint: Checkpoint) -> tuple[float, float, int]:
        row = validated[checkpoint.epoch]
        return row["val_acc"], -(row["val_loss"] or 0.0), -checkpoint.epoch

    best = max(candidates, key=merit)
    return best, "highest validation accuracy, then lowest validation loss, then earliest"


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


def write_csv(
    target: Path | str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Write rows as a CSV file with a header, whole or not at all."""
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(target, text.getvalue())


def read_csv(path: Path | str) -> list[dict[str, str]]:
    """Read a CSV file with a header into one mapping a row."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_predictions(folder: Path, output: str) -> dict[str, tuple[str, float | None]]:
    """Return each video folder's name with its predicted label and, where known, the probability.

    The native engine writes predictions.csv; TAO only prints, one `PATH : ['LABEL', ...]` a video,
    through an entrypoint that turns line ends into carriage returns (TAO 5.5 to 7.3). Several
    clips of one video are decided by the majority.
    """
    table = folder / "predictions.csv"
    if table.exists():
        return {
            row["video"]: (row["prediction"], float(row[row["prediction"]]))
            for row in read_csv(table)
        }
    found = {}
    for line in re.split(r"[\r\n]+", output.replace("it/s]", "it/s]\n")):
        for path, labels in PREDICTION.findall(line):
            votes = Counter(ast.literal_eval(labels))
            found[Path(path).name] = (votes.most_common(1)[0][0], None)
    return found


def confusion_matrix(predictions: Sequence[Prediction], labels: Sequence[str]) -> list[list[int]]:
    """Count videos by true label (rows) and predicted label (columns), in the order of `labels`."""
    counts = Counter((p.label, p.prediction) for p in predictions)
    return [[counts[truth, guess] for guess in labels] for truth in labels]


def metrics(predictions: Sequence[Prediction], labels: Sequence[str]) -> dict[str, Any]:
    """Score one prediction a video; accuracies are percentages, as TAO's.

    `m_accuracy` is the mean over all labels of the accuracy in each; a label without test videos
    counts 0 (TAO 7.3, pl_ar_model.py).
    """
    matrix = confusion_matrix(predictions, labels)
    videos = [sum(row) for row in matrix]
    right = [matrix[i][i] for i in range(len(labels))]
    shares = [100 * r / n if n else 0.0 for r, n in zip(right, videos, strict=True)]
    return {
        "accuracy": round(100 * sum(right) / max(1, sum(videos)), 3),
        "m_accuracy": round(sum(shares) / len(labels), 3),
        "videos": sum(videos),
        "labels": list(labels),
        "per_class": {
            label: {"accuracy": round(share, 3), "correct": r, "videos": n}
            for label, share, r, n in zip(labels, shares, right, videos, strict=True)
        },
        "confusion_matrix": matrix,
    }


def evaluate_figures(kpi: Mapping[str, float], spec: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the figures of the evaluate task, those that count clips as clip_accuracy, ....

    TAO counts clips, not videos, when `spec` has it look at several of each (7.3,
    pl_ar_model.py); the native engine reports both.
    """
    names = ("accuracy", "m_accuracy")
    by_clip = {f"clip_{name}": kpi.get(f"clip_{name}") for name in names}
    if None not in by_clip.values():
        return {name: kpi.get(name) for name in names} | by_clip
    mode = (spec.get("evaluate") or {}).get("video_eval_mode", "center")
    whole = mode == "all" and (spec.get("model") or {}).get("input_type") == "3d"
    prefix = "" if mode == "center" or whole else "clip_"
    return {prefix + name: kpi.get(name) for name in names}


def write_predictions(target: Path | str, predictions: Iterable[Prediction]) -> None:
    """Write predictions.csv, one row a video."""
    write_csv(
        target,
        ("video", "label", "prediction", "correct", "score"),
        ({**asdict(p), "correct": str(p.correct).lower()} for p in predictions),
    )


def load_predictions(path: Path | str) -> list[Prediction]:
    """Read predictions.csv."""
    return [
        Prediction(
            row["video"],
            row["label"],
            row["prediction"],
            row["correct"] == "true",
            float(row["score"]) if row["score"] else None,
        )
        for row in read_csv(path)
    ]
