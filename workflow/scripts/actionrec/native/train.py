"""The train task: a plain, seeded PyTorch loop that can be killed at any time and goes on."""

import fcntl
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from statistics import mean

import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from actionrec.errors import InputError
from actionrec.native import precision, progress
from actionrec.native.checkpoints import lightning, pretrained
from actionrec.native.data import samplers
from actionrec.native.data.dataloader import DataLoader
from actionrec.native.data.datasets import (
    EvalDataset,
    TrainDataset,
    eval_dataloader,
    num_workers,
    train_dataloader,
)
from actionrec.native.data.frame_memory import FrameMemory, memory_for_frames, warn_if_too_small
from actionrec.native.data.prefetch import prefetch_to_device
from actionrec.native.data.videos import (
    Video,
    check_dataset_size,
    list_labelled_videos,
    warn_of_rare_classes,
    warn_of_short_videos,
)
from actionrec.native.distributed import collectives, gradient_sync, launch, process_group
from actionrec.native.status import StatusLog
from actionrec.native.training import early_stopping, ema, lr_schedules, sgd, state, steps
from actionrec.native.training.state import Training
from actionrec.spec import native_keys
from actionrec.spec.load import require_key
from actionrec.spec.native_keys import METRICS


def train(spec: DictConfig, where: Path, status: StatusLog, folder: Path) -> None:
    """Train the spec's network and leave checkpoints in `folder`, as TAO 7.3 does.

    A folder that holds ar_model_latest.pth is gone on with: the losses are those of a training
    that was never interrupted. Raises `InputError` before the first step for anything that
    could not end well, and if the loss is not finite.
    """
    with _locked(folder) if launch.rank() == 0 else nullcontext():
        training = _prepare(spec, where, status, folder)
        state.resume(training)
        status.write("Starting Training Loop.", status="STARTED")
        _run(training)
        status.write("Training loop complete.")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process, and clear it of what a killed one has left.

    Unlike flock, no forked worker can outlive the hold.
    """
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


def _prepare(spec: DictConfig, where: Path, status: StatusLog, folder: Path) -> Training:
    validation = _validation_videos(spec)
    _refuse_without_validation(spec, validation)
    videos = _training_videos(spec, where)
    device = _device(spec)
    network = pretrained.initial_network(spec).to(device)
    precision.apply_memory_format(network, spec, device)
    optimizer = sgd.make(network.parameters(), spec.train.optim)
    workers = num_workers(spec)
    holders = max(1, workers)  # of decoded frames
    parts = launch.local_world_size(spec.train.num_gpus) * holders
    share = len(videos) / (len(videos) + len(validation))
    memory = memory_for_frames(share / parts)
    clips = TrainDataset(videos, spec, memory)
    warn_if_too_small(memory.free * holders, clips.nbytes)
    order = samplers.TrainBatchSampler(
        len(clips), spec.dataset.batch_size, spec.train.seed, _order(videos, len(clips), spec)
    )
    print(f"Train dataset samples: {len(clips)}")
    print(f"Validation dataset samples: {len(validation)}")
    training = Training(
        spec=spec,
        folder=folder,
        status=status,
        device=device,
        network=network,
        gradient_sync=gradient_sync.GradientSync(network),
        optimizer=optimizer,
        scheduler=lr_schedules.make(optimizer, spec, len(order)),
        scaler=precision.grad_scaler(spec.native.precision, device),
        mean=ema.start(network) if spec.native.ema_decay > 0 else None,
        order=order,
        clips=train_dataloader(clips, order, workers),
        validation=_validation_loader(validation, spec, memory_for_frames((1 - share) / parts)),
        totals=steps.new_totals(device),
    )
    training.propagate = steps.propagation(training)
    return training


def _device(spec: DictConfig) -> torch.device:
    """Seed and set up PyTorch as the spec says; return the device to train on."""
    torch.manual_seed(spec.train.seed)
    torch.backends.cudnn.benchmark = spec.train.cudnn.benchmark
    torch.backends.cudnn.deterministic = spec.train.cudnn.deterministic
    device = process_group.select_device(spec.train.gpu_ids)
    precision.set_float32_mode(spec.native.precision, device)
    if device.type == "cuda":
        torch.cuda.set_stream(torch.cuda.Stream(device))  # the default one records no graphs
    return device


def _order(videos: list[Video], clips: int, spec: DictConfig) -> samplers.EpochOrder:
    if spec.native.class_balanced:
        return samplers.class_balanced([video.label for video in videos], clips)
    return samplers.shuffled(clips)


def _training_videos(spec: DictConfig, where: Path) -> list[Video]:
    key = "dataset.train_dataset_dir"
    root = Path(require_key(spec, key, where))
    videos = list_labelled_videos(root, spec.dataset.label_map, key, spec.model.model_type)
    size = len(videos) * spec.dataset.clips_per_video
    check_dataset_size(
        size, spec.dataset.batch_size, "train", "dataset.batch_size", launch.world_size()
    )
    warn_of_short_videos(videos, spec)
    warn_of_rare_classes(videos, spec)
    return videos


def _validation_videos(spec: DictConfig) -> list[Video]:
    root = spec.dataset.val_dataset_dir
    if not root:
        return []
    videos = list_labelled_videos(
        Path(root), spec.dataset.label_map, "dataset.val_dataset_dir", spec.model.model_type
    )
    check_dataset_size(
        len(videos),
        spec.dataset.batch_size,
        "validation",
        "dataset.batch_size",
        launch.world_size(),
    )
    return videos


def _validation_loader(
    videos: list[Video], spec: DictConfig, memory: FrameMemory
) -> DataLoader | None:
    if not videos:
        return None
    clips = EvalDataset(launch.shard(videos), spec, memory)
    batches = samplers.equal_length_batches(clips.lengths, lambda _: spec.dataset.batch_size)
    return eval_dataloader(clips, batches, num_workers(spec))


def _refuse_without_validation(spec: DictConfig, videos: list[Video]) -> None:
    """Raise `InputError` if a key asks for a metric that will never be known."""
    keeper, optim = spec.train.checkpointer, spec.train.optim
    monitors = {}
    if keeper.enable_topk:
        monitors["train.checkpointer.monitor"] = state.monitor_of(spec)
    if optim.lr_scheduler == "AutoReduce":
        monitors["train.optim.lr_monitor"] = optim.lr_monitor
    if spec.native.early_stopping.patience is not None:
        monitors["native.early_stopping.monitor"] = spec.native.early_stopping.monitor
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


def _run(training: Training) -> None:
    """Train from the present epoch and batch to the last epoch."""
    epochs = native_keys.epochs(training.spec)
    patience = training.spec.native.early_stopping
    clips = training.order.num_clips
    batch = training.spec.dataset.batch_size * launch.world_size()
    seen = training.epoch * clips + training.batch * batch
    with progress.progress_bar(epochs * clips, "train", done=min(seen, epochs * clips)) as bar:
        while training.epoch < epochs and not early_stopping.is_due(training.record, patience):
            start = time.monotonic()
            bar.set_description(f"epoch {training.epoch + 1}/{epochs}", refresh=False)
            _train_epoch(training, bar)
            metrics = {"lr": training.optimizer.param_groups[0]["lr"]}
            metrics |= _end_epoch(training, start)
            _print_epoch(bar, training, metrics, time.monotonic() - start)
            training.epoch, training.batch = training.epoch + 1, 0
            training.epoch_ended = False
            training.totals.zero_()
    if training.epoch < epochs:
        epoch = f"{training.epoch} of {epochs} epochs"
        print(f"Stopped after {epoch}: {patience.monitor} was best {training.record.best:.4g}")


def _train_epoch(training: Training, bar: tqdm) -> None:
    training.order.set_epoch(training.epoch, training.batch)
    training.network.train()
    shown, interval = time.monotonic(), progress.update_interval()
    for batch in prefetch_to_device(training.clips, training.device):
        start = time.monotonic()
        steps.take(training, batch)
        now = time.monotonic()
        training.step_seconds.append(now - start)
        # Reading the loss waits for the GPU, so it is read when it is shown, and no oftener.
        if now - shown >= interval:
            shown = now
            loss, accuracy = _means(training, training.totals)
            bar.set_postfix(loss=f"{loss:.4f}", acc=f"{accuracy:.3f}", refresh=False)
        bar.update(len(batch) * launch.world_size())
        state.save_step(training)


def _means(training: Training, totals: Tensor) -> tuple[float, float]:
    """Return loss and accuracy by an epoch's counts; refuse a loss that is not finite."""
    loss, accuracy = (totals[:2] / totals[2]).tolist()
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
    loss, accuracy = _means(training, collectives.all_reduce(training.totals))
    metrics = {"train_loss": loss, "train_acc_1": accuracy}
    train = training.spec.train
    if training.validation is not None and (training.epoch + 1) % train.validation_interval == 0:
        loss, accuracy = steps.validate(training)
        _refuse_infinite(training, loss)
        metrics |= {"val_loss": loss, "val_acc_1": accuracy}
        kpi = {"val_loss": metrics["val_loss"], "val_acc": metrics["val_acc_1"]}
        training.status.write("Eval metrics generated.", kpi=kpi)
    _log_progress(training, time.monotonic() - start)
    training.status.write(
        "Train metrics generated.",
        kpi={"train_loss": metrics["train_loss"], "train_acc": metrics["train_acc_1"]},
    )
    lr_schedules.after_epoch(training.scheduler, metrics, train.optim.lr_monitor)
    early_stopping.note(training.record, metrics, training.spec.native.early_stopping)
    training.epoch_ended = True
    state.save_epoch(training, metrics)
    return metrics


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
