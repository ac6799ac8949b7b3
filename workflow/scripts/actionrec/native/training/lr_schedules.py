"""How the learning rate changes: TAO's schedules by epochs, and the cosine by steps."""

import math
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

from omegaconf import DictConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, ReduceLROnPlateau

from actionrec.errors import InputError

OWN_STATE = {"lr_lambdas", "milestones", "num_bad_epochs"}  # each of one kind of schedule


def make(optimizer: Optimizer, spec: DictConfig, steps: int) -> LRScheduler:
    """Return the schedule of the spec; `steps` are those of one epoch."""
    optim, native = spec.train.optim, spec.native
    if native.lr_schedule == "cosine":
        warmup, total = round(native.warmup_epochs * steps), spec.train.num_epochs * steps
        return LambdaLR(optimizer, partial(cosine, warmup=warmup, total=total))
    if optim.lr_scheduler == "AutoReduce":
        return ReduceLROnPlateau(
            optimizer, "min", factor=optim.lr_decay, patience=optim.patience, min_lr=optim.min_lr
        )
    return MultiStepLR(optimizer, list(optim.lr_steps), gamma=optim.lr_decay)


def cosine(step: int, warmup: int, total: int) -> float:
    """Return the share of the full rate for a step (from 0): a straight rise, then half a cosine.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without
    restarts.
    """
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2


def after_step(schedule: LRScheduler) -> None:
    """Set the next step's rate, if the schedule counts steps."""
    if isinstance(schedule, LambdaLR):
        schedule.step()


def after_epoch(schedule: LRScheduler, metrics: Mapping[str, float], monitor: str) -> None:
    """Set the next epoch's rate, if the schedule counts epochs or follows a metric."""
    if isinstance(schedule, ReduceLROnPlateau):
        if monitor in metrics:
            schedule.step(metrics[monitor])
    elif isinstance(schedule, MultiStepLR):
        with warnings.catch_warnings():
            # After a resumption at an epoch's last step this process has made no step of its own.
            warnings.filterwarnings("ignore", message=r"Detected call of `lr_scheduler\.step\(\)`")
            schedule.step()


def restore(schedule: LRScheduler, state: Mapping[str, Any], path: str) -> None:
    """Take up the state of an equal schedule; raise `InputError` if it is of another kind."""
    if OWN_STATE & state.keys() != OWN_STATE & schedule.state_dict().keys():
        raise InputError(
            "The checkpoint is of a training with another schedule of the learning rate.",
            where="spec: train.resume_training_checkpoint_path",
            found=path,
            fix="make train.optim.lr_scheduler and native.lr_schedule those of the checkpoint",
        )
    schedule.load_state_dict(dict(state))
