"""Where a training's figures go besides status.json: TensorBoard, and Weights & Biases.

Tags and steps are those of TAO 7.3, which logs with PyTorch Lightning: train_loss_step and
train_acc_1_step every 50 steps, train_loss_epoch, train_acc_1_epoch, val_loss, val_acc_1 and the
learning rate, lr-SGD, at the end of an epoch.
"""

import logging
import netrc
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from actionrec.native.distributed import launch
from actionrec.native.training import totals
from actionrec.native.training.state import TrainState
from actionrec.utils.files import write_text
from actionrec.utils.small_files import read_text

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

LOGS = "lightning_logs"
STEPS_BETWEEN_LOGS = 50  # of Lightning
WANDB_ID = "wandb_run_id.txt"
_EPOCH_TAGS = {"train_loss": "train_loss_epoch", "train_acc_1": "train_acc_1_epoch", "lr": "lr-SGD"}

log = logging.getLogger(__name__)


class Tracker(Protocol):
    """What figures are sent to."""

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Record figures by their tags."""

    def close(self) -> None:
        """End the record."""


@dataclass
class Tracking:
    """The trackers of a training, and what was last logged of its present epoch."""

    trackers: list[Tracker]
    seen: Tensor | None = field(default=None)  # the totals at the last log

    def after_step(self, state: TrainState) -> None:
        """Log loss and accuracy of the last steps, if that is due."""
        if not self.trackers or state.global_step % STEPS_BETWEEN_LOGS:
            return
        now = state.totals.clone()
        loss, accuracy = totals.loss_and_accuracy(now if self.seen is None else now - self.seen)
        self.seen = now
        self._write({"train_loss_step": loss, "train_acc_1_step": accuracy}, state.global_step)

    def after_epoch(self, state: TrainState, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch."""
        self.seen = None
        figures = {_EPOCH_TAGS.get(name, name): value for name, value in metrics.items()}
        self._write({**figures, "epoch": state.epoch}, state.global_step)

    def _write(self, figures: Mapping[str, float], step: int) -> None:
        for tracker in [*self.trackers]:
            try:
                tracker.write(figures, step)
            except Exception as error:  # a full disk or a lost server must not end a training
                log.warning("%s is given up: %s", type(tracker).__name__, error)
                self.trackers.remove(tracker)

    def close(self) -> None:
        """End all records."""
        for tracker in self.trackers:
            tracker.close()


def start_tracking(state: TrainState) -> Tracking:
    """Return the trackers of a training that begins or resumes; rank 0 alone has any."""
    if launch.rank():
        return Tracking([])
    found: list[Tracker | None] = [TensorBoard.start(state), WeightsAndBiases.start(state)]
    return Tracking([tracker for tracker in found if tracker])


class TensorBoard:
    """Event files in lightning_logs/version_<n>; a resumed training continues its own.

    The events are written by tensorboardX's EventsWriter: its SummaryWriter hands them to a thread,
    and its `flush` does not wait for that, so a killed training would lose its last figures.
    """

    def __init__(self, events: "EventsWriter") -> None:
        self._events = events

    @classmethod
    def start(cls, state: TrainState) -> "TensorBoard | None":
        """Return the events of a training; None, with a warning, without the package."""
        try:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
        except ImportError as error:
            log.warning("No TensorBoard events are written: %s", error)
            return None
        logs = state.folder / LOGS
        numbers = [int(found.name.rpartition("_")[2]) for found in logs.glob("version_[0-9]*")]
        last, resumed = max(numbers, default=-1), state.global_step > 0 and bool(numbers)
        folder = logs / f"version_{last if resumed else last + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        # Names by the second alone would let a training that resumes at once replace its own file.
        events = EventsWriter(str(folder / "events"), f".{state.global_step:09d}")
        if resumed:
            # What a killed process wrote after its last checkpoint comes again: TensorBoard drops
            # all events from this step on. Those of a step that ended an epoch stay.
            purge = state.global_step + (state.batch_idx == 0)
            started = SessionLog(status=SessionLog.START)
            events.write_event(Event(wall_time=time.time(), step=purge, session_log=started))
        return cls(events)

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Record figures by their tags, on the disk at once."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for tag, value in figures.items():
            event = Event(wall_time=time.time(), step=step, summary=scalar(tag, value))
            self._events.write_event(event)
        self._events.flush()

    def close(self) -> None:
        """End the event file."""
        self._events.close()


class WeightsAndBiases:
    """A run of Weights & Biases, by the spec's section `wandb`; a resumed training continues it."""

    def __init__(self, run: Any) -> None:
        self._run = run

    @classmethod
    def start(cls, state: TrainState) -> "WeightsAndBiases | None":
        """Return the run of a training; None where it is not wanted or, with a warning, fails.

        It is wanted, as with TAO, where `wandb.enable` is set and there is a key, or offline.
        """
        settings = state.spec.wandb
        if not settings.enable or not _has_key():
            return None
        try:
            wandb = import_module("wandb")
            return cls(wandb.init(**_arguments(settings, state)))
        except Exception as error:  # the package is missing, or the server is
            log.warning("Nothing is reported to Weights & Biases: %s", error)
            return None

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Record figures by their tags."""
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        """End the run and send what is left."""
        self._run.finish()


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE") == "offline":
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _arguments(settings: DictConfig, state: TrainState) -> dict[str, Any]:
    """Return the arguments of wandb.init; the key of encrypted checkpoints is none of them."""
    record = state.folder / WANDB_ID
    known = read_text(record).strip() if record.exists() else ""
    identity = settings.run_id or (known if state.global_step else "") or secrets.token_hex(4)
    write_text(record, identity)
    config: Any = OmegaConf.to_container(state.spec, resolve=False)
    config.pop("encryption_key", None)
    return {
        "project": settings.project,
        "entity": settings.entity or None,
        "group": settings.group or None,
        "name": settings.name,
        "tags": list(settings.tags),
        "id": identity,
        "resume": "allow",
        "reinit": settings.reinit,
        "sync_tensorboard": settings.sync_tensorboard,
        "save_code": settings.save_code,
        "dir": str(Path(state.folder)),
        "config": config,
    }
