"""One step of a training.

Nothing here waits for the GPU: losses and counts stay on it until somebody reads them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from actionrec.errors import InputError
from actionrec.native import precision
from actionrec.native.data import transforms
from actionrec.native.data.batch import Batch
from actionrec.native.training import ema, lr_schedules, mixup, totals
from actionrec.native.training.cuda_graphs import GraphedForwardBackward
from actionrec.native.training.state import TrainState


def train_step(state: TrainState, batch: Batch) -> None:
    """Train on one batch on the training's device: gradients, optimizer, schedule, average."""
    state.optimizer.zero_grad(set_to_none=True)
    state.forward_backward(batch)
    if state.spec.train.clip_grad_norm > 0:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.network.parameters(), state.spec.train.clip_grad_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    lr_schedules.step_after_batch(state.lr_scheduler)
    state.global_step += 1
    state.batch_idx += 1
    if state.ema_weights is not None:
        decay = state.spec.native.ema_decay
        ema.update(state.ema_weights, state.network, decay, state.global_step)


def make_forward_backward(state: TrainState) -> Callable[[Batch], None]:
    """Return `forward_backward` for this training: on a GPU as CUDA graphs, if it can be."""
    function, native = partial(forward_backward, state), state.spec.native
    # A graph would repeat the weight that mixup draws on the host for each batch.
    if state.device.type != "cuda" or native.mixup_alpha > 0 or not native.cuda_graphs:
        return function
    return GraphedForwardBackward(function, state.network.parameters())


def forward_backward(state: TrainState, batch: Batch) -> None:
    """Leave a batch's gradients, averaged over all ranks, in the network, and count its loss."""
    loss, logits = _forward(state, batch)
    state.scaler.scale(state.gradient_sync.scale_loss(loss)).backward()
    totals.add_batch(state.totals, loss, logits, batch.labels)
    state.gradient_sync.wait()


def _forward(state: TrainState, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the batch's mean loss and its logits (N, classes)."""
    native = state.spec.native
    inputs, weight = transforms.normalise(batch, state.spec), 1.0
    if native.mixup_alpha > 0:
        # Seeded by the place in the training alone, so that a resumed training draws the same.
        key = (state.spec.train.seed, 2, state.epoch, state.batch_idx)
        weight = mixup.draw_weight(native.mixup_alpha, np.random.default_rng(key))
        inputs = mixup.mix(inputs, weight)
    with precision.autocast(native.precision, state.device):
        logits = _logits(state, inputs)
        loss = mixup.cross_entropy(logits, batch.labels, weight, native.label_smoothing)
        return loss, logits


def _logits(state: TrainState, inputs: Any) -> Tensor:
    try:
        return state.network(inputs)
    except ValueError as error:  # by batch normalisation
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "The last batch holds one clip, too few for batch normalisation at this input size.",
            where="spec: dataset.batch_size",
            found=state.spec.dataset.batch_size,
            fix="choose a batch size that leaves no batch of one, or larger frames",
        ) from error
