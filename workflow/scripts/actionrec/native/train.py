"""The train task: a plain, seeded PyTorch loop that can be killed at any time and goes on."""

import fcntl
import logging
import math
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import mean

import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, ReduceLROnPlateau
from tqdm import tqdm

from actionrec import spec as specs
from actionrec.errors import InputError
from actionrec.native import checkpoints, data, pretrained, progress, sgd, state, transforms
from actionrec.native.state import Training
from actionrec.native.status import StatusLog

log = logging.getLogger(__name__)

METRICS = ("train_loss", "train_acc_1", "val_loss", "val_acc_1")


def train(spec: DictConfig, where: Path, status: StatusLog, folder: Path) -> None:
    """Train the spec's network and leave checkpoints in `folder`, as TAO 7.3 does.

    A folder that holds ar_model_latest.pth is gone on with: the losses are those of a training
    that was never interrupted. Raises `InputError` before the first step for anything that
    could not end well, and if the loss is not finite.
    """
    with _locked(folder):
        checkpoints.remove_leftovers(folder)
        training = _prepare(spec, where, status, folder)
        state.resume(training)
        status.write("Starting Training Loop.", status="STARTED")
        _run(training)
        status.write("Training loop complete.")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; unlike flock, no forked worker can outlive the hold."""
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                "Another training is writing to the same results folder.",
                where=folder,
                fix="wait for it to end, or choose another results_dir",
            ) from error
        yield


def _prepare(spec: DictConfig, where: Path, status: StatusLog, folder: Path) -> Training:
    validation = _validation_videos(spec)
    _refuse_without_validation(spec, validation)
    videos = _training_videos(spec, where)
    torch.manual_seed(spec.train.seed)
    torch.backends.cudnn.benchmark = spec.train.cudnn.benchmark
    torch.backends.cudnn.deterministic = spec.train.cudnn.deterministic
    if spec.train.num_gpus * spec.train.num_nodes > 1:
        log.warning("The native engine trains on one device; num_gpus and num_nodes are ignored.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = pretrained.start_network(spec).to(device)
    optimizer = sgd.make(network.parameters(), spec.train.optim)
    clips = data.TrainingClips(videos, spec)
    order = data.TrainingBatches(len(clips), spec.dataset.batch_size, spec.train.seed)
    print(f"Train dataset samples: {len(clips)}")
    print(f"Validation dataset samples: {len(validation)}")
    return Training(
        spec,
        folder,
        status,
        device,
        network,
        optimizer,
        _schedule(optimizer, spec.train.optim),
        order,
        data.load(clips, order, spec),
        _validation_loader(validation, spec),
        torch.zeros(3, device=device),
    )


def _training_videos(spec: DictConfig, where: Path) -> list[data.Video]:
    key = "dataset.train_dataset_dir"
    root = Path(specs.require(spec, key, where))
    videos = data.list_classes(root, spec.dataset.label_map, key, spec.model.model_type)
    size = len(videos) * spec.dataset.clips_per_video
    data.refuse_small(size, spec.dataset.batch_size, "train", "dataset.batch_size")
    data.warn_of_short(videos, spec)
    return videos


def _validation_videos(spec: DictConfig) -> list[data.Video]:
    root = spec.dataset.val_dataset_dir
    if not root:
        return []
    videos = data.list_classes(
        Path(root), spec.dataset.label_map, "dataset.val_dataset_dir", spec.model.model_type
    )
    data.refuse_small(len(videos), spec.dataset.batch_size, "validation", "dataset.batch_size")
    return videos


def _validation_loader(videos: list[data.Video], spec: DictConfig) -> data.Loader | None:
    if not videos:
        return None
    clips = data.FixedClips(videos, spec)
    return data.load(clips, data.equal_batches(clips.lengths, spec.dataset.batch_size), spec)


def _refuse_without_validation(spec: DictConfig, videos: list[data.Video]) -> None:
    """Raise `InputError` if a key asks for a metric that will never be known."""
    keeper, optim = spec.train.checkpointer, spec.train.optim
    monitors = {}
    if keeper.enable_topk:
        monitors["train.checkpointer.monitor"] = state.monitor_of(spec)
    if optim.lr_scheduler == "AutoReduce":
        monitors["train.optim.lr_monitor"] = optim.lr_monitor
    for key, metric in monitors.items():
        if metric not in METRICS:
            raise InputError(
                "There is no such metric.", where=f"spec: {key}", found=metric, allowed=METRICS
            )
        if metric.startswith("val_") and not videos:
            raise InputError(
                "A metric of the validation is asked for, but there is no validation set.",
                where=f"spec: {key}",
                found=metric,
                fix="set dataset.val_dataset_dir, or follow a train_ metric",
            )


def _schedule(optimizer: sgd.SGD, optim: DictConfig) -> LRScheduler:
    if optim.lr_scheduler == "AutoReduce":
        return ReduceLROnPlateau(
            optimizer, "min", factor=optim.lr_decay, patience=optim.patience, min_lr=optim.min_lr
        )
    return MultiStepLR(optimizer, list(optim.lr_steps), gamma=optim.lr_decay)


def _run(training: Training) -> None:
    """Train from the present epoch and batch to the last epoch."""
    epochs = training.spec.train.num_epochs
    clips = len(training.clips.dataset)
    seen = training.epoch * clips + training.batch * training.spec.dataset.batch_size
    with progress.bar(epochs * clips, "train", done=min(seen, epochs * clips)) as bar:
        while training.epoch < epochs:
            start = time.monotonic()
            bar.set_description(f"epoch {training.epoch + 1}/{epochs}", refresh=False)
            _train_epoch(training, bar)
            metrics = {"lr": training.optimizer.param_groups[0]["lr"]}
            metrics |= _end_epoch(training, start)
            _print_epoch(bar, training, metrics, time.monotonic() - start)
            training.epoch, training.batch = training.epoch + 1, 0
            training.epoch_ended = False
            training.totals.zero_()


def _train_epoch(training: Training, bar: tqdm) -> None:
    training.order.epoch, training.order.skip = training.epoch, training.batch
    training.network.train()
    shown = time.monotonic()
    for clips, labels, _ in training.clips:
        start = time.monotonic()
        _train_step(training, clips, labels)
        now = time.monotonic()
        training.step_seconds.append(now - start)
        # Reading the loss waits for the GPU, so it is read when it is shown, and no oftener.
        if now - shown >= bar.mininterval:
            shown = now
            loss, accuracy = _means(training)
            bar.set_postfix(loss=f"{loss:.4f}", acc=f"{accuracy:.3f}", refresh=False)
        bar.update(len(labels))
        state.save_step(training)


def _train_step(training: Training, clips: Tensor, labels: Tensor) -> None:
    inputs = transforms.normalise(clips.to(training.device, non_blocking=True), training.spec)
    labels = labels.to(training.device, non_blocking=True)
    try:
        logits = training.network(inputs)
    except ValueError as error:  # of batch normalisation
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "The last batch holds one clip, too few for batch normalisation at this input size.",
            where="spec: dataset.batch_size",
            found=training.spec.dataset.batch_size,
            fix="choose a batch size that leaves no batch of one, or larger frames",
        ) from error
    loss = F.cross_entropy(logits, labels)
    training.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if training.spec.train.clip_grad_norm > 0:
        nn.utils.clip_grad_norm_(training.network.parameters(), training.spec.train.clip_grad_norm)
    training.optimizer.step()
    _count(training.totals, loss, logits, labels)
    training.step += 1
    training.batch += 1


@torch.no_grad()
def _count(totals: Tensor, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
    totals[0] += loss * len(labels)
    totals[1] += (logits.argmax(dim=1) == labels).sum()
    totals[2] += len(labels)


def _means(training: Training) -> tuple[float, float]:
    """Return loss and accuracy of the epoch so far; refuse a loss that is not finite."""
    loss, accuracy = (training.totals[:2] / training.totals[2]).tolist()
    _refuse_infinite(training, loss)
    return loss, accuracy


def _refuse_infinite(training: Training, loss: float) -> None:
    if not math.isfinite(loss):
        raise InputError(
            f"The loss is {loss} in epoch {training.epoch + 1}, by step {training.step}.",
            where="spec: train.optim.lr",
            found=training.spec.train.optim.lr,
            fix="lower the learning rate, or set train.clip_grad_norm",
        )


def _end_epoch(training: Training, start: float) -> dict[str, float]:
    """Validate, log, step the schedule and save; return the epoch's metrics."""
    loss, accuracy = _means(training)
    metrics = {"train_loss": loss, "train_acc_1": accuracy}
    train = training.spec.train
    if training.validation is not None and (training.epoch + 1) % train.validation_interval == 0:
        metrics |= _validate(training)
        kpi = {"val_loss": metrics["val_loss"], "val_acc": metrics["val_acc_1"]}
        training.status.write("Eval metrics generated.", kpi=kpi)
    _log_progress(training, time.monotonic() - start)
    training.status.write(
        "Train metrics generated.", kpi={"train_loss": loss, "train_acc": accuracy}
    )
    _step_schedule(training, metrics)
    training.epoch_ended = True
    state.save_epoch(training, metrics)
    return metrics


def _step_schedule(training: Training, metrics: dict[str, float]) -> None:
    if isinstance(training.scheduler, ReduceLROnPlateau):
        monitor = training.spec.train.optim.lr_monitor
        if monitor in metrics:
            training.scheduler.step(metrics[monitor])
        return
    with warnings.catch_warnings():
        # After a resumption at an epoch's last step this process has made no step of its own.
        warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler\.step\(\)`")
        training.scheduler.step()


@torch.inference_mode()
def _validate(training: Training) -> dict[str, float]:
    training.network.eval()
    totals = torch.zeros(3, device=training.device)
    for clips, labels, _ in training.validation:
        inputs = transforms.normalise(clips.to(training.device, non_blocking=True), training.spec)
        labels = labels.to(training.device, non_blocking=True)
        logits = training.network(inputs)
        _count(totals, F.cross_entropy(logits, labels), logits, labels)
    loss, accuracy = (totals[:2] / totals[2]).tolist()
    _refuse_infinite(training, loss)
    return {"val_loss": loss, "val_acc_1": accuracy}


def _log_progress(training: Training, seconds: float) -> None:
    epochs = training.spec.train.num_epochs
    training.status.write(
        "Training loop in progress",
        progress={
            "epoch": training.epoch,
            "step": training.step,
            "max_epoch": epochs - 1,
            "max_step": epochs * len(training.order),
            "time_per_epoch": str(timedelta(seconds=seconds)),
            "time_per_step": str(timedelta(seconds=mean(training.step_seconds or [0.0]))),
            "eta": str(timedelta(seconds=seconds * (epochs - 1 - training.epoch))),
        },
    )


def _print_epoch(bar: tqdm, training: Training, metrics: dict[str, float], seconds: float) -> None:
    names = {"train_acc_1": "train_acc", "val_acc_1": "val_acc"}
    shown = "  ".join(f"{names.get(name, name)} {value:.4g}" for name, value in metrics.items())
    epoch = f"epoch {training.epoch + 1}/{training.spec.train.num_epochs}"
    bar.write(f"{epoch}  {shown}  {seconds:.1f} s", file=sys.stdout)
    sys.stdout.flush()
