"""How far trainings are, by their status.json: on this machine or on the nodes of a cluster."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from actionrec.errors import InputError
from actionrec.experiments import status_json

SILENT = 600.0  # seconds without news, five epochs' at least, after which a training seems to hang
POLL = 2.0  # seconds between two looks
BETWEEN = 10.0  # seconds between two lines of a training
CLEAR_LINE = "\r\x1b[K"  # on which the progress bar of a job may stand
# Where trainings lie below results/, results/<dataset>, an experiment's folder, and a run's.
_PATTERNS = ("*/experiments/*/split*", "experiments/*/split*", "split*", ".")
_TASKS = ("trial", "train")


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    `epoch` counts the epochs that have ended. Accuracy is in percent, of the validation where there
    is one. `left` is in seconds. `state` is starting, running, finished, failed or silent.
    """

    name: str
    state: str
    epoch: int = 0
    epochs: int | None = None
    loss: float | None = None
    accuracy: float | None = None
    left: float | None = None
    updated: float = 0.0

    def __str__(self) -> str:
        parts = [self.name, f"epoch {self.epoch}/{self.epochs}" if self.epochs else "epoch 1"]
        if self.loss is not None:
            parts.append(f"loss {self.loss:.3g}")
        if self.accuracy is not None:
            parts.append(f"accuracy {self.accuracy:.1f} %")
        if self.state == "running" and self.left is not None:
            parts.append(f"{_duration(self.left)} left")
        elif self.state == "silent":
            parts.append(f"no news for {_duration(time.time() - self.updated)}")
        else:
            parts.append(self.state)
        return "  ".join(parts)


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def read_progress(folder: Path, name: str, now: float | None = None) -> Progress | None:
    """Return how far the training in `folder` is; None if it has not begun."""
    try:
        updated = (folder / status_json.NAME).stat().st_mtime
    except OSError:
        return None
    now = time.time() if now is None else now
    records = status_json.read_records(folder)
    ends = [record for record in records if record.get("message") == status_json.EPOCH_ENDED]
    last: Mapping[str, Any] = ends[-1] if ends else {}
    history = status_json.read_history(records)
    latest = history[-1] if history else status_json.Epoch(-1)
    epochs = int(last["max_epoch"]) + 1 if "max_epoch" in last else None
    left = status_json.seconds(last.get("eta"))
    return Progress(
        name,
        _state(records, latest.seconds, now - updated),
        latest.epoch + 1,
        epochs,
        latest.val_loss if latest.train_loss is None else latest.train_loss,
        latest.train_acc if latest.val_acc is None else latest.val_acc,
        None if left is None else max(0.0, left - (now - updated)),
        updated,
    )


def _state(records: list[status_json.Record], epoch_seconds: float | None, silent: float) -> str:
    if status_json.says_finished("train", records):
        return "finished"
    if records and records[-1].get("status") == "FAILURE":
        return "failed"
    if silent > max(SILENT, 5 * (epoch_seconds or 0)):
        return "silent"
    return "running" if epoch_seconds is not None else "starting"


def trainings(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and the folder of each training below a folder of results."""
    for pattern in _PATTERNS:
        runs = sorted(folder.glob(pattern)) if pattern != "." else [folder]
        found = [run / task for run in runs for task in _TASKS]
        found = [training for training in found if (training / status_json.NAME).is_file()]
        for training in found:
            run = training.parent.absolute()
            trial = " (trial)" if training.name == "trial" else ""
            yield f"{run.parent.name} {run.name}{trial}", training
        if found:
            return


def progress_below(folder: Path) -> list[Progress]:
    """Return how far each training below a folder of results is."""
    found = (read_progress(training, name) for name, training in trainings(folder))
    return [progress for progress in found if progress]


def print_status(folder: Path | str = "results") -> int:
    """Print a line for each training below a folder of results; return the exit code.

    Raises `InputError` if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            "There is no such folder of results.",
            where=folder,
            fix="name results, results/<dataset>, or the folder of one experiment",
        )
    found = progress_below(folder)
    lines = [str(progress) for progress in found] or [f"No training has begun in {folder}."]
    print(*lines, sep="\n")
    return 0


@dataclass
class Watcher:
    """Prints a line when an epoch of a training ends: for several trainings at once."""

    folder: Path
    stream: TextIO
    since: float  # older news is of an earlier run
    prefix: str = ""

    def __post_init__(self) -> None:
        self._printed: dict[str, tuple[int, str, float]] = {}

    def look(self, now: float) -> None:
        """Print what is new; of one training not more often than every `BETWEEN` seconds."""
        for progress in self._news(progress_below(self.folder), now):
            print(f"{self.prefix}{progress}", file=self.stream, flush=True)

    def _news(self, found: Iterable[Progress], now: float) -> Iterator[Progress]:
        for progress in found:
            epoch, state, at = self._printed.get(progress.name, (0, "starting", 0.0))
            new = (progress.epoch, progress.state) != (epoch, state) and progress.epoch > 0
            ended = progress.state in ("finished", "failed")
            if progress.updated >= self.since and new and (ended or now - at >= BETWEEN):
                self._printed[progress.name] = progress.epoch, progress.state, now
                yield progress


def watch(folder: Path) -> None:
    """Print the progress of trainings below `folder` on the terminal until this process ends.

    Without a terminal nothing is printed: a log would fill with lines that are in status.json.
    """
    if not sys.stderr.isatty():
        return
    watcher = Watcher(folder, sys.stderr, time.time(), CLEAR_LINE)
    threading.Thread(target=_watch, args=(watcher,), daemon=True).start()


def _watch(watcher: Watcher) -> None:
    while True:
        time.sleep(POLL)
        try:
            watcher.look(time.time())
        except (OSError, ValueError, KeyError, TypeError):  # a file that is being written
            continue
