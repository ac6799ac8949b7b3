"""The learning-rate schedules: TAO's, which count epochs, and the cosine, which counts steps."""

import math
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

from omegaconf import DictConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, ReduceLROnPlateau

from actionrec.errors import InputError

KIND_KEYS = {"lr_lambdas", "milestones", "num_bad_epochs"}  # each is in the state of one kind only


def build_lr_scheduler(optimizer: Optimizer, spec: DictConfig, steps_per_epoch: int) -> LRScheduler:
    """Return the schedule of native.lr_schedule and train.optim.lr_scheduler."""
    optim, native = spec.train.optim, spec.native
    if native.lr_schedule == "cosine":
        warmup = round(native.warmup_epochs * steps_per_epoch)
        total = spec.train.num_epochs * steps_per_epoch
        return LambdaLR(optimizer, partial(cosine, warmup=warmup, total=total))
    if optim.lr_scheduler == "AutoReduce":
        return ReduceLROnPlateau(
            optimizer, "min", factor=optim.lr_decay, patience=optim.patience, min_lr=optim.min_lr
        )
    return MultiStepLR(optimizer, list(optim.lr_steps), gamma=optim.lr_decay)


def cosine(step: int, warmup: int, total: int) -> float:
    """Return the factor of the full rate in a step (from 0): linear warm-up, then half a cosine.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without
    restarts.
    """
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2


def step_after_batch(lr_scheduler: LRScheduler) -> None:
    """Set the rate of the next step, if the schedule counts steps."""
    if isinstance(lr_scheduler, LambdaLR):
        lr_scheduler.step()


def step_after_epoch(lr_scheduler: LRScheduler, metrics: Mapping[str, float], monitor: str) -> None:
    """Set the rate of the next epoch, if the schedule counts epochs or follows `monitor`."""
    if isinstance(lr_scheduler, ReduceLROnPlateau):
        if monitor in metrics:
            lr_scheduler.step(metrics[monitor])
    elif isinstance(lr_scheduler, MultiStepLR):
        with warnings.catch_warnings():
            # A training that resumes at the end of an epoch has not stepped the optimizer yet.
            warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler\.step\(\)`")
            lr_scheduler.step()


def load_state_dict(lr_scheduler: LRScheduler, state_dict: Mapping[str, Any], path: str) -> None:
    """Restore the state of a schedule from the checkpoint `path`.

    Raises `InputError` if it is the state of another kind of schedule.
    """
    if KIND_KEYS & state_dict.keys() != KIND_KEYS & lr_scheduler.state_dict().keys():
        raise InputError(
            "The checkpoint is of a training with another schedule of the learning rate.",
            where="spec: train.resume_training_checkpoint_path",
            found=path,
            fix="make train.optim.lr_scheduler and native.lr_schedule those of the checkpoint",
        )
    lr_scheduler.load_state_dict(dict(state_dict))
