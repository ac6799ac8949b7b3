"""One step of a training, and the network as validation sees it.

Nothing here waits for the GPU: what is counted stays there until it is read.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from actionrec.errors import InputError
from actionrec.native import ema, mixing, precision, schedules, transforms
from actionrec.native.state import Training


def take(training: Training, clips: Any, labels: Tensor) -> None:
    """Train on one batch: clips uint8 and labels, as the loader gives them."""
    clips = clips.to(training.device, non_blocking=True)
    labels = labels.to(training.device, non_blocking=True)
    loss, logits = _loss(training, clips, labels)
    training.optimizer.zero_grad(set_to_none=True)
    training.scaler.scale(loss).backward()
    if training.spec.train.clip_grad_norm > 0:
        training.scaler.unscale_(training.optimizer)
        nn.utils.clip_grad_norm_(training.network.parameters(), training.spec.train.clip_grad_norm)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    schedules.after_step(training.scheduler)
    training.step += 1
    training.batch += 1
    if training.mean is not None:
        decay = training.spec.native.ema_decay
        ema.update(training.mean, training.network, decay, training.step)
    count(training.totals, loss, logits, labels)


def _loss(training: Training, clips: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss and the logits of a batch that is on the device."""
    native = training.spec.native
    inputs, share = _inputs(training, clips), 1.0
    if native.mixup_alpha > 0:
        # Of the place in the training alone, so that a resumed one draws the same.
        key = (training.spec.train.seed, 2, training.epoch, training.batch)
        share = mixing.draw_share(native.mixup_alpha, np.random.default_rng(key))
        inputs = mixing.mix(inputs, share)
    with precision.autocast(native.precision, training.device):
        logits = _forward(training, inputs)
        return mixing.loss(logits, labels, share, native.label_smoothing), logits


def _inputs(training: Training, clips: Any) -> Any:
    inputs = transforms.normalise(clips, training.spec)
    if not training.spec.native.channels_last:
        return inputs
    if isinstance(inputs, tuple):
        return tuple(precision.last(stream) for stream in inputs)
    return precision.last(inputs)


def _forward(training: Training, inputs: Any) -> Tensor:
    try:
        return training.forward(inputs)
    except ValueError as error:  # of batch normalisation
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "The last batch holds one clip, too few for batch normalisation at this input size.",
            where="spec: dataset.batch_size",
            found=training.spec.dataset.batch_size,
            fix="choose a batch size that leaves no batch of one, or larger frames",
        ) from error


@torch.no_grad()
def count(totals: Tensor, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Add a batch to `totals`: loss summed over clips, clips right, clips."""
    totals[0] += loss * len(labels)
    totals[1] += (logits.argmax(dim=1) == labels).sum()
    totals[2] += len(labels)


@torch.inference_mode()
def validate(training: Training) -> tuple[float, float]:
    """Return loss and accuracy on the validation videos of the weights that will be published."""
    training.network.eval()
    totals = torch.zeros(3, device=training.device)
    for clips, labels, _ in training.validation:
        inputs = _inputs(training, clips.to(training.device, non_blocking=True))
        labels = labels.to(training.device, non_blocking=True)
        with precision.autocast(training.spec.native.precision, training.device):
            if training.mean is None:
                logits = training.forward(inputs)
            else:
                logits = functional_call(training.network, training.mean, (inputs,))
            loss = F.cross_entropy(logits, labels)
        count(totals, loss, logits, labels)
    loss, accuracy = (totals[:2] / totals[2]).tolist()
    return loss, accuracy
