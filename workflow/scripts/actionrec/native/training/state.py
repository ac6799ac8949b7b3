"""What a training is, and how it is put down in a checkpoint and taken up again."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from actionrec.errors import InputError
from actionrec.native.checkpoints import lightning
from actionrec.native.data.batch import Batch
from actionrec.native.data.dataloader import DataLoader
from actionrec.native.data.samplers import TrainBatchSampler
from actionrec.native.distributed import collectives, launch
from actionrec.native.distributed.gradient_sync import GradientSync
from actionrec.native.status import StatusLog
from actionrec.native.training import early_stopping, lr_schedules, sgd
from actionrec.spec import native_keys


@dataclass
class Training:
    """A training in progress: what it works with, and how far it is."""

    spec: DictConfig
    folder: Path
    status: StatusLog
    device: torch.device
    network: nn.Module
    gradient_sync: GradientSync
    optimizer: sgd.SGD
    scheduler: LRScheduler
    scaler: torch.amp.GradScaler
    mean: dict[str, Tensor] | None  # of the network's tensors, if that is to be published
    order: TrainBatchSampler
    clips: DataLoader
    validation: DataLoader | None
    totals: Tensor  # of the epoch so far, here: loss summed over clips, clips right, clips seen
    propagate: Callable[[Batch], None] = field(init=False)
    epoch: int = 0
    step: int = 0
    batch: int = 0  # batches done of the epoch
    epoch_ended: bool = False  # validated, logged and the schedule stepped
    step_seconds: list[float] = field(default_factory=list)
    best: list[tuple[float, str]] = field(default_factory=list)  # (score, file), best first
    record: early_stopping.Record = field(default_factory=early_stopping.Record)


def save_step(training: Training) -> None:
    """Save the periodic checkpoint if one is due after this step."""
    train = training.spec.train
    due = training.step % train.checkpoint_interval == 0
    if due and train.checkpoint_interval_unit == "step" and not _only_best(training.spec):
        _save(training, lightning.checkpoint_name(training.epoch, training.step))


def save_epoch(training: Training, metrics: dict[str, float]) -> None:
    """Save the periodic and the best checkpoint if they are due at the end of an epoch."""
    train = training.spec.train
    if train.checkpointer.enable_topk and monitor_of(training.spec) in metrics:
        _save_best(training, metrics)
    due = (training.epoch + 1) % train.checkpoint_interval == 0
    due &= train.checkpoint_interval_unit == "epoch"
    due |= early_stopping.is_due(training.record, training.spec.native.early_stopping)
    if due and not _only_best(training.spec):
        _save(training, lightning.checkpoint_name(training.epoch, training.step))


def monitor_of(spec: DictConfig) -> str:
    """Return the metric that ranks the best checkpoints."""
    return spec.train.checkpointer.monitor or "val_loss"


def _only_best(spec: DictConfig) -> bool:
    return spec.train.checkpointer.enable_topk and spec.train.checkpointer.replace_periodic


def _save_best(training: Training, metrics: dict[str, float]) -> None:
    """Keep the `save_top_k` best checkpoints by the monitored metric."""
    keeper = training.spec.train.checkpointer
    alone = _only_best(training.spec)
    kept = 1 if alone else keeper.save_top_k
    folder = Path(keeper.dirpath or training.folder)
    entry = (metrics[monitor_of(training.spec)], _best_name(training, metrics))
    ranked = sorted([*training.best, entry], reverse=keeper.mode == "max", key=lambda e: e[0])
    keep, drop = (ranked, []) if kept < 0 else (ranked[:kept], ranked[kept:])
    if entry in drop:
        return
    training.best = keep
    _save(training, entry[1], folder, latest=alone)
    for _, name in drop:
        if name != entry[1] and launch.rank() == 0:
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
    totals = collectives.all_reduce(training.totals)
    if launch.rank():
        return
    path = (folder or training.folder) / name
    own = training.network.state_dict()
    published = own if training.mean is None else training.mean
    lightning.save(
        path,
        {
            "epoch": training.epoch,
            "global_step": training.step,
            "pytorch-lightning_version": lightning.LIGHTNING_VERSION,
            "state_dict": {lightning.PREFIX + name: value for name, value in published.items()},
            "loops": lightning.loops_state(
                training.epoch, training.step, training.batch, len(training.order)
            ),
            "callbacks": {},
            "optimizer_states": [sgd.state_of(training.optimizer)],
            "lr_schedulers": [training.scheduler.state_dict()],
            "actionrec": {
                "rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
                "totals": totals.tolist(),
                "epoch_ended": training.epoch_ended,
                "best": [list(entry) for entry in training.best],
                "record": asdict(training.record),
                "scaler": training.scaler.state_dict(),
                "weights": None if training.mean is None else dict(own),
                "spec": _binding(training.spec),
            },
        },
        encrypt=bool(training.spec.encryption_key),
    )
    if latest:
        lightning.link_latest(path)


def resume(training: Training) -> None:
    """Take up a checkpoint: the one that the spec names, else the folder's latest, if any."""
    spec = training.spec
    key = "train.resume_training_checkpoint_path"
    latest = training.folder / lightning.LATEST
    path = spec.train.resume_training_checkpoint_path or (str(latest) if latest.exists() else None)
    if path is None:
        return
    checkpoint = lightning.read(path, key)
    lightning.check_resumable(training.network, checkpoint, path, key)
    own = checkpoint.get("actionrec", {})
    if not spec.train.resume_training_checkpoint_path:
        _refuse_changed(own.get("spec"), spec, training.folder)
    training.status.write(f"Resuming training from checkpoint: {path}")
    _restore_weights(training, lightning.network_state_dict(checkpoint), own.get("weights"))
    sgd.restore(training.optimizer, checkpoint["optimizer_states"][0])
    lr_schedules.restore(training.scheduler, checkpoint["lr_schedulers"][0], path)
    training.step = checkpoint["global_step"]
    batch, last = lightning.batches_done(checkpoint)
    ended = own.get("epoch_ended", last)
    training.epoch = checkpoint["epoch"] + ended
    training.batch = 0 if ended else batch
    _restore_own(training, own, ended)


def _restore_weights(
    training: Training, published: Mapping[str, Tensor], trained: Mapping[str, Tensor] | None
) -> None:
    """Go on from the weights that were trained; their mean is what was published."""
    training.network.load_state_dict(trained or published)
    for name, value in (training.mean or {}).items():
        value.copy_(published[name])


def _restore_own(training: Training, own: Mapping[str, Any], ended: bool) -> None:
    """Take up what TAO's checkpoints do not have."""
    training.best = [(score, name) for score, name in own.get("best", [])]
    training.record = early_stopping.Record(**own.get("record", {}))
    if own.get("scaler") and training.scaler.is_enabled():
        training.scaler.load_state_dict(own["scaler"])
    if not ended and "totals" in own and launch.rank() == 0:
        training.totals.copy_(torch.tensor(own["totals"], dtype=training.totals.dtype))
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
    keys += [f"train.{key}" for key in ("num_gpus", "num_nodes", "seed", "clip_grad_norm")]
    keys += [f"native.{key}" for key in spec.native if key not in native_keys.CHANGEABLE_ON_RESUME]
    if spec.native.lr_schedule == "cosine":  # which has no end of its own
        keys.append("train.num_epochs")
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
    changed = [
        f"{key}: {saved.get(key)} is now {now[key]}" for key in now if saved.get(key) != now[key]
    ]
    if changed:
        raise InputError(
            "The results folder holds a training that another spec began.",
            where=folder,
            found="; ".join(changed),
            fix="remove the folder to train anew, or choose another results_dir",
        )
