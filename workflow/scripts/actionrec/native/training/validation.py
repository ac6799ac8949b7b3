"""The validation of a training."""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from actionrec.native import precision
from actionrec.native.data import transforms
from actionrec.native.data.batch import Batch
from actionrec.native.data.prefetch import prefetch_to_device
from actionrec.native.distributed import collectives
from actionrec.native.training import totals
from actionrec.native.training.state import TrainState


@torch.inference_mode()
def validate(state: TrainState, batches: Iterable[Batch]) -> tuple[float, float]:
    """Return loss and accuracy of the weights that a checkpoint would publish.

    `batches` are this rank's part of the validation set; the result is that of all ranks.
    """
    state.network.eval()
    _broadcast_statistics(state)
    sums = totals.new_totals(state.device)
    for batch in prefetch_to_device(batches, state.device):
        inputs = transforms.normalise(batch, state.spec)
        with precision.autocast(state.spec.native.precision, state.device):
            logits = _published_logits(state, inputs)
            loss = F.cross_entropy(logits, batch.labels)
        totals.add_batch(sums, loss, logits, batch.labels)
    return totals.loss_and_accuracy(collectives.all_reduce(sums))


def _broadcast_statistics(state: TrainState) -> None:
    """Give all ranks the running statistics of rank 0, which are those that it saves.

    They differ between ranks, as batch normalisation sees another batch in each. Weights do not.
    """
    statistics = dict(state.network.named_buffers())
    collectives.broadcast(statistics.values())
    if state.ema_weights is not None:
        collectives.broadcast(state.ema_weights[name] for name in statistics)


def _published_logits(state: TrainState, inputs: Any) -> Tensor:
    if state.ema_weights is None:
        return state.network(inputs)
    return functional_call(state.network, state.ema_weights, (inputs,))
