"""The exponential moving average (EMA) of a network's weights over its steps.

Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
"""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def initial_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all tensors of a network by name, its batch statistics included."""
    return {name: value.clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def update(
    ema_weights: dict[str, Tensor], network: nn.Module, decay: float, global_step: int
) -> None:
    """Move `ema_weights` towards the network's tensors after `global_step` steps (from 1).

    The decay starts low, at (1 + step) / (10 + step), so that the average soon forgets the weights
    that the training has started from.
    """
    weights = network.state_dict()
    floats = [name for name, value in ema_weights.items() if value.is_floating_point()]
    average = get_ema_multi_avg_fn(min(decay, (1 + global_step) / (10 + global_step)))
    average([ema_weights[name] for name in floats], [weights[name] for name in floats], None)
    for name in ema_weights.keys() - set(floats):  # the batch counters of batch normalisation
        ema_weights[name].copy_(weights[name])
