"""Read what a TAO task left behind, and say what it means in files of one form."""

import ast
import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from math import inf
from pathlib import Path
from typing import Any

from actionrec.errors import InputError
from actionrec.utils.files import write_text

FINISHED = {
    "train": "Train finished successfully.",
    "evaluate": "Evaluate finished successfully.",
    "inference": "Inference finished successfully.",
    "export": "Export finished successfully.",
}
# model_epoch_004_step_00123.pth (6.0 to 7.3), model_epoch_004.pth (5.5), model_best_004.pth (7.3),
# ar_model_epoch=004.tlt (5.0 to 5.3), ar_model_epoch=19-val_loss=0.05.tlt (3.21.11).
CHECKPOINT = re.compile(
    r"(?:ar_)?model_(?:epoch|best)[_=](?P<epoch>\d+)(?:_step_(?P<step>\d+))?"
    r"(?:-val_loss=(?P<val_loss>\d+\.\d+))?(?:-v\d+)?\.(?:pth|tlt)"
)
PREDICTION = re.compile(r"(/[^\r\n]*?|[^\s/][^\r\n]*?/[^\r\n]*?) : (\[[^\]]*\])")
HISTORY = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "seconds")


@dataclass(frozen=True)
class Checkpoint:
    """One of the checkpoints that a training wrote; `epoch` counts from 0.

    `val_loss` is the validation loss where the file's name tells it.
    """

    path: Path
    epoch: int
    val_loss: float | None = None


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
    for line in re.split(r"[\r\n]+|(?<=it/s\])|(?<=s/it\])", output):
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
