"""The train task: a seeded PyTorch training that resumes after a kill at any time."""

import fcntl
import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from statistics import mean

from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from actionrec.errors import InputError
from actionrec.native import progress
from actionrec.native.checkpoints import lightning
from actionrec.native.data.prefetch import prefetch_to_device
from actionrec.native.distributed import collectives, launch
from actionrec.native.status import EPOCHS, StatusLog
from actionrec.native.training import layer_groups, lr_schedules, totals
from actionrec.native.training.checkpointing import save_after_epoch, save_after_step
from actionrec.native.training.resume import resume
from actionrec.native.training.setup import build_train_state
from actionrec.native.training.state import TrainState
from actionrec.native.training.steps import train_step
from actionrec.native.training.tracking import Tracking, start_tracking
from actionrec.native.training.validation import validate
from actionrec.spec import native_keys
from actionrec.utils.small_files import opening, require_file


def train(spec: DictConfig, spec_path: Path, status: StatusLog, folder: Path) -> None:
    """Train the spec's network and write checkpoints to `folder`, as TAO 7.3 does.

    A training whose folder holds ar_model_latest.pth resumes from it, and its losses are those of a
    training without interruption. Raises `InputError` before the first step for input that would
    make it fail later, and when the loss is not finite.
    """
    with _locked(folder) if launch.rank() == 0 else nullcontext():
        state = build_train_state(spec, spec_path, status, folder)
        resume(state)
        status.write("Starting Training Loop.", status="STARTED")
        tracking = start_tracking(state)
        _train_epochs(state, tracking)
        tracking.close()
        status.write("Training loop complete.")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder for this process, and remove the partial files of a killed one.

    Unlike flock's, this lock is not inherited by forked workers, which may outlive the process.
    """
    require_file(folder / ".lock")
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                "Another training is writing to the same results folder.",
                where=folder,
                fix="wait for it to end, or choose another results_dir",
            ) from error
        lightning.remove_partial_files(folder)
        yield


def _train_epochs(state: TrainState, tracking: Tracking) -> None:
    """Train from the present epoch and batch to the last epoch."""
    epochs, clips = native_keys.epochs(state.spec), state.train_sampler.num_clips
    # Clips of all ranks; the last batch of an epoch may be smaller, hence the minimum below.
    batch_size = state.spec.dataset.batch_size * launch.world_size()
    done = state.epoch * clips + state.batch_idx * batch_size
    stopping = state.early_stopping
    with progress.progress_bar(epochs * clips, "train", min(done, epochs * clips)) as bar:
        while state.epoch < epochs and not stopping.should_stop:
            start = time.monotonic()
            bar.set_description(f"epoch {state.epoch + 1}/{epochs}", refresh=False)
            _train_epoch(state, bar, tracking)
            metrics = _end_epoch(state, start, tracking)
            _print_metrics(bar, state, metrics, time.monotonic() - start)
            # After the checkpoint of this epoch, which says that it has ended.
            state.epoch, state.batch_idx = state.epoch + 1, 0
            state.epoch_ended = False
            state.totals.zero_()
    if state.epoch < epochs:
        stopped = f"Stopped after {state.epoch} of {epochs} epochs"
        print(f"{stopped}: {stopping.monitor} was best {stopping.best:.4g}")


def _train_epoch(state: TrainState, bar: tqdm, tracking: Tracking) -> None:
    """Train on the batches of the epoch that are left."""
    state.train_sampler.set_epoch(state.epoch, first_batch=state.batch_idx)
    layer_groups.set_train_mode(state.network, state.spec)
    shown, interval = time.monotonic(), progress.update_interval()
    for batch in prefetch_to_device(state.train_loader, state.device):
        start = time.monotonic()
        train_step(state, batch)
        now = time.monotonic()
        state.step_seconds.append(now - start)
        # To read the loss is to wait for the GPU, so it is read only when it is shown.
        if now - shown >= interval:
            shown = now
            loss, accuracy = _checked_averages(state, state.totals)
            bar.set_postfix(loss=f"{loss:.4f}", acc=f"{accuracy:.3f}", refresh=False)
        bar.update(len(batch) * launch.world_size())
        tracking.after_step(state)
        save_after_step(state)


def _checked_averages(state: TrainState, epoch_totals: Tensor) -> tuple[float, float]:
    """Return loss and accuracy; raise `InputError` if the loss is not finite."""
    loss, accuracy = totals.loss_and_accuracy(epoch_totals)
    _check_finite(state, loss)
    return loss, accuracy


def _check_finite(state: TrainState, loss: float) -> None:
    if not math.isfinite(loss):
        raise InputError(
            f"The loss is {loss} in epoch {state.epoch + 1}, by step {state.global_step}.",
            where="spec: train.optim.lr",
            found=state.spec.train.optim.lr,
            fix="lower the learning rate, or set train.clip_grad_norm",
        )


def _end_epoch(state: TrainState, start: float, tracking: Tracking) -> dict[str, float]:
    """Validate, log, step the schedule, and save; return the epoch's metrics."""
    loss, accuracy = _checked_averages(state, collectives.all_reduce(state.totals))
    metrics = {"lr": state.learning_rate, "train_loss": loss, "train_acc_1": accuracy}
    # The lines of status.json come in TAO's order: validation, progress, training.
    metrics |= _validate_if_due(state)
    _log_progress(state, time.monotonic() - start)
    _log_beyond_tao(state)
    state.status.write("Train metrics generated.", kpi={"train_loss": loss, "train_acc": accuracy})
    tracking.after_epoch(state, metrics)
    # Everything that a resumed training needs is up to date before the checkpoint is saved.
    lr_monitor = state.spec.train.optim.lr_monitor
    lr_schedules.step_after_epoch(state.lr_scheduler, metrics, lr_monitor)
    state.early_stopping.update(metrics)
    state.epoch_ended = True
    save_after_epoch(state, metrics)
    return metrics


def _validate_if_due(state: TrainState) -> dict[str, float]:
    """Validate and log, if this epoch ends a validation interval; return the metrics."""
    due = (state.epoch + 1) % state.spec.train.validation_interval == 0
    if state.val_loader is None or not due:
        return {}
    loss, accuracy = validate(state, state.val_loader)
    _check_finite(state, loss)
    state.status.write("Eval metrics generated.", kpi={"val_loss": loss, "val_acc": accuracy})
    return {"val_loss": loss, "val_acc_1": accuracy}


def _log_progress(state: TrainState, seconds: float) -> None:
    epochs = state.spec.train.num_epochs
    state.status.write(
        "Training loop in progress",
        progress={
            "epoch": state.epoch,
            "step": state.global_step,
            "max_epoch": epochs - 1,
            "max_step": epochs * len(state.train_sampler),
            "time_per_epoch": str(timedelta(seconds=seconds)),
            "time_per_step": str(timedelta(seconds=mean(state.step_seconds or [0.0]))),
            "eta": str(timedelta(seconds=seconds * (epochs - 1 - state.epoch))),
        },
    )


def _log_beyond_tao(state: TrainState) -> None:
    """Append what TAO's status.json has no place for to a file of the engine's own."""
    if launch.rank() == 0:
        line = {"epoch": state.epoch, "lr": state.learning_rate, "device": state.device.type}
        path = state.folder / EPOCHS
        with opening(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _print_metrics(bar: tqdm, state: TrainState, metrics: dict[str, float], seconds: float) -> None:
    names = {"train_acc_1": "train_acc", "val_acc_1": "val_acc"}
    shown = "  ".join(f"{names.get(name, name)} {value:.4g}" for name, value in metrics.items())
    epoch = f"epoch {state.epoch + 1}/{state.spec.train.num_epochs}"
    bar.write(f"{epoch}  {shown}  {seconds:.1f} s", file=sys.stdout)
    sys.stdout.flush()
