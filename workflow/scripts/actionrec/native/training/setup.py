"""The setup of a training: its videos, data loaders, network, optimizer and schedule."""

from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig

from actionrec.errors import InputError
from actionrec.native import precision
from actionrec.native.checkpoints import pretrained
from actionrec.native.data import samplers
from actionrec.native.data.dataloader import DataLoader
from actionrec.native.data.datasets import (
    EvalDataset,
    TrainDataset,
    eval_dataloader,
    num_workers,
    train_dataloader,
)
from actionrec.native.data.frame_memory import memory_for_frames, warn_if_too_small
from actionrec.native.data.samplers import EpochOrder, TrainBatchSampler
from actionrec.native.data.videos import (
    Video,
    check_dataset_size,
    list_labelled_videos,
    warn_of_rare_classes,
    warn_of_short_videos,
)
from actionrec.native.distributed import launch, process_group
from actionrec.native.distributed.gradient_sync import GradientSync
from actionrec.native.status import StatusLog
from actionrec.native.training import ema, layer_groups
from actionrec.native.training.checkpointing import monitored_metric
from actionrec.native.training.early_stopping import EarlyStopping
from actionrec.native.training.lr_schedules import build_lr_scheduler
from actionrec.native.training.sgd import build_optimizer
from actionrec.native.training.state import TrainState
from actionrec.native.training.steps import make_forward_backward
from actionrec.native.training.totals import new_totals
from actionrec.spec.load import require_key
from actionrec.spec.native_keys import METRICS


@dataclass(frozen=True)
class Loaders:
    """The data loaders of a training; without a validation set `val` is None."""

    train_sampler: TrainBatchSampler
    train: DataLoader
    val: DataLoader | None


def build_train_state(
    spec: DictConfig, spec_path: Path, status: StatusLog, folder: Path
) -> TrainState:
    """Return a training that has not begun.

    `folder` is that of the results. Raises `InputError` for any setting or file that would make
    the training fail later.
    """
    val_videos = _val_videos(spec)
    _check_metrics(spec, val_videos)
    train_videos = _train_videos(spec, spec_path)
    device = _set_up_device(spec)
    start = pretrained.start(spec)
    if launch.rank() == 0:
        start.record(folder)
    network = start.network.to(device)
    precision.apply_memory_format(network, spec, device)
    layer_groups.freeze(network, spec)
    optimizer = build_optimizer(layer_groups.parameter_groups(network, spec), spec.train.optim)
    loaders = _build_loaders(train_videos, val_videos, spec)
    state = TrainState(
        spec=spec,
        folder=folder,
        status=status,
        device=device,
        network=network,
        gradient_sync=GradientSync(network),  # gives all ranks the same weights
        optimizer=optimizer,
        lr_scheduler=build_lr_scheduler(optimizer, spec, len(loaders.train_sampler)),
        scaler=precision.grad_scaler(spec.native.precision, device),
        ema_weights=ema.initial_weights(network) if spec.native.ema_decay > 0 else None,
        early_stopping=EarlyStopping(spec.native.early_stopping),
        train_sampler=loaders.train_sampler,
        train_loader=loaders.train,
        val_loader=loaders.val,
        totals=new_totals(device),
    )
    state.forward_backward = make_forward_backward(state)
    return state


def _set_up_device(spec: DictConfig) -> torch.device:
    """Seed and configure PyTorch as the spec says; return the device to train on."""
    torch.manual_seed(spec.train.seed)
    torch.backends.cudnn.benchmark = spec.train.cudnn.benchmark
    torch.backends.cudnn.deterministic = spec.train.cudnn.deterministic
    device = process_group.select_device(spec.train.gpu_ids)
    precision.set_float32_mode(spec.native.precision, device)
    if device.type == "cuda":
        # CUDA cannot capture graphs in the default stream.
        torch.cuda.set_stream(torch.cuda.Stream(device))
    return device


def _train_videos(spec: DictConfig, spec_path: Path) -> list[Video]:
    key = "dataset.train_dataset_dir"
    root = Path(require_key(spec, key, spec_path))
    videos = list_labelled_videos(root, spec.dataset.label_map, key, spec.model.model_type)
    num_clips = len(videos) * spec.dataset.clips_per_video
    batch_size = spec.dataset.batch_size
    check_dataset_size(num_clips, batch_size, "train", "dataset.batch_size", launch.world_size())
    warn_of_short_videos(videos, spec)
    warn_of_rare_classes(videos, spec)
    return videos


def _val_videos(spec: DictConfig) -> list[Video]:
    key, root = "dataset.val_dataset_dir", spec.dataset.val_dataset_dir
    if not root:
        return []
    videos = list_labelled_videos(Path(root), spec.dataset.label_map, key, spec.model.model_type)
    size, ranks = spec.dataset.batch_size, launch.world_size()
    check_dataset_size(len(videos), size, "validation", "dataset.batch_size", ranks)
    return videos


def _check_metrics(spec: DictConfig, val_videos: list[Video]) -> None:
    """Raise `InputError` if a key names a metric that the training will not have."""
    checkpointer, optim = spec.train.checkpointer, spec.train.optim
    monitored = {}
    if checkpointer.enable_topk:
        monitored["train.checkpointer.monitor"] = monitored_metric(spec)
    if optim.lr_scheduler == "AutoReduce":
        monitored["train.optim.lr_monitor"] = optim.lr_monitor
    if spec.native.early_stopping.patience is not None:
        monitored["native.early_stopping.monitor"] = spec.native.early_stopping.monitor
    for key, metric in monitored.items():
        if metric not in METRICS:
            raise InputError(
                "There is no such metric.", where=f"spec: {key}", found=metric, allowed=METRICS
            )
        if metric.startswith("val_") and not val_videos:
            raise InputError(
                "A metric of the validation is asked for, but there is no validation set.",
                where=f"spec: {key}",
                found=metric,
                fix="set dataset.val_dataset_dir, or follow a train_ metric",
            )


def _build_loaders(train_videos: list[Video], val_videos: list[Video], spec: DictConfig) -> Loaders:
    workers, timeout = num_workers(spec), spec.native.loader_timeout
    # Each worker keeps frames in memory of its own. The memory is divided between training and
    # validation by their numbers of videos, and then among the workers of all ranks.
    caches = max(1, workers)  # without workers this process keeps the frames
    processes = launch.local_world_size(spec.train.num_gpus) * caches
    train_share = len(train_videos) / (len(train_videos) + len(val_videos))
    memory = memory_for_frames(train_share / processes)
    dataset = TrainDataset(train_videos, spec, memory)
    warn_if_too_small(memory.free * caches, dataset.nbytes)
    order = _epoch_order(train_videos, len(dataset), spec)
    sampler = TrainBatchSampler(len(dataset), spec.dataset.batch_size, spec.train.seed, order)
    print(f"Train dataset samples: {len(dataset)}")
    print(f"Validation dataset samples: {len(val_videos)}")
    train_loader = train_dataloader(dataset, sampler, workers, timeout)
    if not val_videos:
        return Loaders(sampler, train_loader, None)
    val_memory = memory_for_frames((1 - train_share) / processes)
    val_dataset = EvalDataset(launch.shard(val_videos), spec, val_memory)
    batches = samplers.equal_length_batches(val_dataset.lengths, lambda _: spec.dataset.batch_size)
    val_loader = eval_dataloader(val_dataset, batches, workers, timeout)
    return Loaders(sampler, train_loader, val_loader)


def _epoch_order(videos: list[Video], num_clips: int, spec: DictConfig) -> EpochOrder:
    if spec.native.class_balanced:
        return samplers.class_balanced([video.label for video in videos], num_clips)
    return samplers.shuffled(num_clips)
