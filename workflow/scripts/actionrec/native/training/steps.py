"""One step of a training, and the network as validation sees it.

Nothing here waits for the GPU: what is counted stays there until it is read.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from actionrec.errors import InputError
from actionrec.native import precision
from actionrec.native.data import transforms
from actionrec.native.data.batch import Batch
from actionrec.native.data.prefetch import prefetch_to_device
from actionrec.native.distributed import collectives
from actionrec.native.training import cuda_graphs, ema, lr_schedules, mixup
from actionrec.native.training.state import Training


def take(training: Training, batch: Batch) -> None:
    """Train on one batch, which is on the training's device."""
    training.optimizer.zero_grad(set_to_none=True)
    training.propagate(batch)
    if training.spec.train.clip_grad_norm > 0:
        training.scaler.unscale_(training.optimizer)
        nn.utils.clip_grad_norm_(training.network.parameters(), training.spec.train.clip_grad_norm)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    lr_schedules.after_step(training.scheduler)
    training.step += 1
    training.batch += 1
    if training.mean is not None:
        decay = training.spec.native.ema_decay
        ema.update(training.mean, training.network, decay, training.step)


def propagation(training: Training) -> Callable[[Batch], None]:
    """Return what leaves a batch's gradients in the network and counts it; on a GPU, a graph."""
    work, native = partial(_propagate, training), training.spec.native
    # Mixup draws on the host what a graph would repeat.
    if training.device.type != "cuda" or native.mixup_alpha > 0 or not native.cuda_graphs:
        return work
    return cuda_graphs.Recorded(work, training.network.parameters())


def _propagate(training: Training, batch: Batch) -> None:
    loss, logits = _loss(training, batch)
    training.scaler.scale(training.gradient_sync.scale_loss(loss)).backward()
    count(training.totals, loss, logits, batch.labels)
    training.gradient_sync.wait()


def _loss(training: Training, batch: Batch) -> tuple[Tensor, Tensor]:
    native = training.spec.native
    inputs, share = transforms.normalise(batch, training.spec), 1.0
    if native.mixup_alpha > 0:
        # Of the place in the training alone, so that a resumed one draws the same.
        key = (training.spec.train.seed, 2, training.epoch, training.batch)
        share = mixup.draw_share(native.mixup_alpha, np.random.default_rng(key))
        inputs = mixup.mix(inputs, share)
    with precision.autocast(native.precision, training.device):
        logits = _forward(training, inputs)
        return mixup.loss(logits, batch.labels, share, native.label_smoothing), logits


def _forward(training: Training, inputs: Any) -> Tensor:
    try:
        return training.network(inputs)
    except ValueError as error:  # of batch normalisation
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "The last batch holds one clip, too few for batch normalisation at this input size.",
            where="spec: dataset.batch_size",
            found=training.spec.dataset.batch_size,
            fix="choose a batch size that leaves no batch of one, or larger frames",
        ) from error


def new_totals(device: torch.device) -> Tensor:
    """Return counts of nothing, in float64: sums are the same whoever adds up which batches."""
    return torch.zeros(3, dtype=torch.float64, device=device)


@torch.no_grad()
def count(totals: Tensor, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Add a batch to `totals`: loss summed over clips, clips right, clips."""
    totals[0] += loss.double() * len(labels)
    totals[1] += (logits.argmax(dim=1) == labels).sum()
    totals[2] += len(labels)


@torch.inference_mode()
def validate(training: Training) -> tuple[float, float]:
    """Return loss and accuracy on the validation videos of the weights that will be published."""
    training.network.eval()
    statistics = dict(training.network.named_buffers())
    collectives.broadcast(statistics.values())
    if training.mean is not None:  # whose weights are equal everywhere
        collectives.broadcast(training.mean[name] for name in statistics)
    totals = new_totals(training.device)
    assert training.validation is not None  # noqa: S101
    for batch in prefetch_to_device(training.validation, training.device):
        inputs = transforms.normalise(batch, training.spec)
        with precision.autocast(training.spec.native.precision, training.device):
            if training.mean is None:
                logits = training.network(inputs)
            else:
                logits = functional_call(training.network, training.mean, (inputs,))
            loss = F.cross_entropy(logits, batch.labels)
        count(totals, loss, logits, batch.labels)
    totals = collectives.all_reduce(totals)
    loss, accuracy = (totals[:2] / totals[2]).tolist()
    return loss, accuracy
