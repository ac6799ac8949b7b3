"""The train task: a plain, seeded PyTorch loop that can be killed at any time and goes on."""

import fcntl
import logging
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, ReduceLROnPlateau
from tqdm import tqdm

from actionrec import spec as specs
from actionrec.errors import InputError
from actionrec.native import checkpoints, data, progress, transforms
from actionrec.native.status import StatusLog

log = logging.getLogger(__name__)

METRICS = ("train_loss", "train_acc_1", "val_loss", "val_acc_1")


@dataclass
class Training:
    """A training in progress: what it works with, and how far it is."""

    spec: DictConfig
    folder: Path
    status: StatusLog
    device: torch.device
    network: nn.Module
    optimizer: torch.optim.SGD
    scheduler: LRScheduler
    order: data.TrainingBatches
    clips: data.Loader
    validation: data.Loader | None
    totals: Tensor  # of the epoch so far: loss summed over clips, clips right, clips seen
    epoch: int = 0
    step: int = 0
    batch: int = 0  # batches done of the epoch
    seconds_per_step: float = 0.0
    steps_timed: int = 0
    best: list[tuple[float, str]] = field(default_factory=list)  # (score, file), best first


def train(spec: DictConfig, where: Path, status: StatusLog, folder: Path) -> None:
    """Train the spec's network and leave checkpoints in `folder`, as TAO 7.3 does.

    A folder that holds ar_model_latest.pth is gone on with: the losses are those of a training
    that was never interrupted. Raises `InputError` before the first step for anything that
    could not end well, and if the loss is not finite.
    """
    with _locked(folder):
        checkpoints.remove_leftovers(folder)
        training = _prepare(spec, where, status, folder)
        _resume(training)
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
    network = checkpoints.start_network(spec).to(device)
    optim = spec.train.optim
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=optim.lr,
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
        fused=True,
    )
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
        _schedule(optimizer, optim),
        order,
        data.load(clips, order, spec),
        _validation_loader(validation, spec),
        torch.zeros(3, device=device),
    )


def _training_videos(spec: DictConfig, where: Path) -> list[data.Video]:
    key = "dataset.train_dataset_dir"
    root = Path(specs.require(spec, key, where))
    videos = data.list_classes(root, spec.dataset.label_map, key)
    size = len(videos) * spec.dataset.clips_per_video
    data.refuse_small(size, spec.dataset.batch_size, "train", "dataset.batch_size")
    data.warn_of_short(videos, spec)
    return videos


def _validation_videos(spec: DictConfig) -> list[data.Video]:
    root = spec.dataset.val_dataset_dir
    if not root:
        return []
    videos = data.list_classes(Path(root), spec.dataset.label_map, "dataset.val_dataset_dir")
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
        monitors["train.checkpointer.monitor"] = _monitor(spec)
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


def _schedule(optimizer: torch.optim.SGD, optim: DictConfig) -> LRScheduler:
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
    with progress.bar(epochs * clips, "train") as bar:
        bar.update(min(seen, epochs * clips))
        bar.unpause()
        while training.epoch < epochs:
            start = time.monotonic()
            bar.set_description(f"epoch {training.epoch + 1}/{epochs}", refresh=False)
            _train_epoch(training, bar)
            metrics = _end_epoch(training, start)
            _print_epoch(bar, training, metrics, time.monotonic() - start)
            training.epoch, training.batch = training.epoch + 1, 0
            training.totals.zero_()


def _train_epoch(training: Training, bar: tqdm) -> None:
    train = training.spec.train
    training.order.epoch, training.order.skip = training.epoch, training.batch
    training.network.train()
    shown = time.monotonic()
    for clips, labels, _ in training.clips:
        start = time.monotonic()
        _train_step(training, clips, labels)
        now = time.monotonic()
        training.steps_timed += 1
        training.seconds_per_step += (now - start - training.seconds_per_step) / training.steps_timed
        # Reading the loss waits for the GPU, so it is read when it is shown, and no oftener.
        if now - shown >= bar.mininterval:
            shown = now
            loss, accuracy = _means(training)
            bar.set_postfix(loss=f"{loss:.4f}", acc=f"{accuracy:.3f}", refresh=False)
        bar.update(len(labels))
        if train.checkpoint_interval_unit == "step" and not _replaces_periodic(training.spec):
            if training.step % train.checkpoint_interval == 0:
                _means(training)
                _save(training, checkpoints.name_of(training.epoch, training.step))


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
    if not math.isfinite(loss):
        raise InputError(
            f"The loss is {loss} in epoch {training.epoch + 1}, by step {training.step}.",
            where="spec: train.optim.lr",
            found=training.spec.train.optim.lr,
            fix="lower the learning rate, or set train.clip_grad_norm",
        )
    return loss, accuracy


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
    if isinstance(training.scheduler, ReduceLROnPlateau):
        if train.optim.lr_monitor in metrics:
            training.scheduler.step(metrics[train.optim.lr_monitor])
    else:
        training.scheduler.step()
    _save_epoch(training, metrics)
    return metrics


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
            "time_per_step": str(timedelta(seconds=training.seconds_per_step)),
            "eta": str(timedelta(seconds=seconds * (epochs - 1 - training.epoch))),
        },
    )


def _print_epoch(
    bar: tqdm, training: Training, metrics: dict[str, float], seconds: float
) -> None:
    names = {"train_acc_1": "train_acc", "val_acc_1": "val_acc"}
    shown = "  ".join(f"{names.get(name, name)} {value:.4f}" for name, value in metrics.items())
    rate = training.optimizer.param_groups[0]["lr"]
    bar.write(
        f"epoch {training.epoch + 1}/{training.spec.train.num_epochs}  {shown}  "
        f"next_lr {rate:g}  {seconds:.1f} s",
        file=sys.stdout,
    )
    sys.stdout.flush()


def _replaces_periodic(spec: DictConfig) -> bool:
    return spec.train.checkpointer.enable_topk and spec.train.checkpointer.replace_periodic


def _monitor(spec: DictConfig) -> str:
    return spec.train.checkpointer.monitor or "val_loss"


def _save_epoch(training: Training, metrics: dict[str, float]) -> None:
    """Save the periodic and the best checkpoint, where they are due at the end of an epoch."""
    train = training.spec.train
    if train.checkpointer.enable_topk and _monitor(training.spec) in metrics:
        _save_best(training, metrics)
    if train.checkpoint_interval_unit == "epoch" and not _replaces_periodic(training.spec):
        if (training.epoch + 1) % train.checkpoint_interval == 0:
            _save(training, checkpoints.name_of(training.epoch, training.step))


def _save_best(training: Training, metrics: dict[str, float]) -> None:
    """Keep the `save_top_k` best checkpoints by the monitored metric."""
    keeper = training.spec.train.checkpointer
    alone = _replaces_periodic(training.spec)
    kept = 1 if alone else keeper.save_top_k
    folder = Path(keeper.dirpath or training.folder)
    entry = (metrics[_monitor(training.spec)], _best_name(training, metrics))
    ranked = sorted([*training.best, entry], reverse=keeper.mode == "max", key=lambda e: e[0])
    keep, drop = (ranked, []) if kept < 0 else (ranked[:kept], ranked[kept:])
    if entry in drop:
        return
    training.best = keep
    _save(training, entry[1], folder, latest=alone)
    for _, name in drop:
        if name != entry[1]:
            (folder / name).unlink(missing_ok=True)


def _best_name(training: Training, metrics: dict[str, float]) -> str:
    keeper = training.spec.train.checkpointer
    pattern = keeper.filename
    if keeper.auto_insert_metric_name:
        pattern = re.sub(r"\{(\w+)", r"\1_{\1", pattern)
    try:
        name = pattern.format(epoch=training.epoch, step=training.step, **metrics) + ".pth"
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise InputError(
            "The name of the best checkpoints cannot be filled in.",
            where="spec: train.checkpointer.filename",
            found=keeper.filename,
            allowed=[f"{{{field}}}" for field in ("epoch", "step", *metrics)],
        ) from error
    if Path(name).name != name:
        raise InputError(
            "The name of the best checkpoints must not hold a folder.",
            where="spec: train.checkpointer.filename",
            found=keeper.filename,
            fix="set train.checkpointer.dirpath",
        )
    return name


def _save(
    training: Training, name: str, folder: Path | None = None, *, latest: bool = True
) -> None:
    path = (folder or training.folder) / name
    state = training.network.state_dict(prefix=checkpoints.PREFIX)
    optimizer = training.optimizer.state_dict()
    for group in optimizer["param_groups"]:
        group["fused"] = None  # how steps are computed here is nothing to bind others to
    checkpoints.save(
        path,
        {
            "epoch": training.epoch,
            "global_step": training.step,
            "pytorch-lightning_version": checkpoints.LIGHTNING,
            "state_dict": dict(state),
            "loops": checkpoints.loops(
                training.epoch, training.step, training.batch, len(training.order)
            ),
            "callbacks": {},
            "optimizer_states": [optimizer],
            "lr_schedulers": [training.scheduler.state_dict()],
            "actionrec": {
                "rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
                "totals": training.totals.tolist(),
                "best": [list(entry) for entry in training.best],
                "spec": _binding(training.spec),
            },
        },
    )
    if latest:
        checkpoints.link_latest(path)


def _resume(training: Training) -> None:
    """Take up a checkpoint: the one that the spec names, else the folder's latest, if any."""
    spec = training.spec
    key = "train.resume_training_checkpoint_path"
    latest = training.folder / checkpoints.LATEST
    path = spec.train.resume_training_checkpoint_path or (str(latest) if latest.exists() else None)
    if path is None:
        return
    checkpoint = checkpoints.read(path, key)
    checkpoints.refuse_unfit(training.network, checkpoint, path, key)
    own = checkpoint.get("actionrec", {})
    if not spec.train.resume_training_checkpoint_path:
        _refuse_changed(own.get("spec"), spec, training.folder)
    training.status.write(f"Resuming training from checkpoint: {path}")
    training.network.load_state_dict(checkpoints.weights(checkpoint))
    training.optimizer.load_state_dict(checkpoint["optimizer_states"][0])
    for group in training.optimizer.param_groups:
        group["fused"] = True
    training.scheduler.load_state_dict(checkpoint["lr_schedulers"][0])
    training.step = checkpoint["global_step"]
    batch = checkpoints.batch_of(checkpoint)
    training.epoch = checkpoint["epoch"] + (batch is None)
    training.batch = batch or 0
    training.best = [(score, name) for score, name in own.get("best", [])]
    if batch is not None and "totals" in own:
        training.totals.copy_(torch.tensor(own["totals"]))
    if "rng" in own:
        torch.set_rng_state(own["rng"])
    if own.get("cuda_rng") is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(own["cuda_rng"])


def _binding(spec: DictConfig) -> dict[str, Any]:
    """Return the values that a training cannot change on its way, by dotted key."""
    keys = [f"model.{key}" for key in spec.model if "pretrained" not in key]
    keys += [f"dataset.{key}" for key in ("label_map", "batch_size", "clips_per_video")]
    keys += [f"dataset.augmentation_config.{key}" for key in spec.dataset.augmentation_config]
    keys += [f"train.optim.{key}" for key in spec.train.optim]
    keys += ["train.seed", "train.clip_grad_norm"]
    plain = OmegaConf.to_container(spec, throw_on_missing=False)
    values: dict[str, Any] = {}
    for key in keys:
        value: Any = plain
        for name in key.split("."):
            value = value[name]
        values[key] = value
    return values


def _refuse_changed(saved: dict[str, Any] | None, spec: DictConfig, folder: Path) -> None:
    """Raise `InputError` if the folder's training had other values than `spec`.

    TAO goes on with the old ones without a word.
    """
    if saved is None:
        return
    now = _binding(spec)
    changed = [f"{key}: {saved[key]} is now {now[key]}" for key in now if saved.get(key) != now[key]]
    if changed:
        raise InputError(
            "The results folder holds a training that another spec began.",
            where=folder,
            found="; ".join(changed),
            fix="remove the folder to train anew, or choose another results_dir",
        )
