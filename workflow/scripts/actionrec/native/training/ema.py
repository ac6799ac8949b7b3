"""The running mean of a network's weights over its steps.

Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
"""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def start(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all tensors of a network, its batch statistics too, by name."""
    return {name: value.clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def update(mean: dict[str, Tensor], network: nn.Module, decay: float, step: int) -> None:
    """Move `mean` towards the network's tensors after `step` steps (from 1).

    The first steps count for more, (1 + step) / (10 + step) in place of a larger decay, so that
    the weights that a training starts from are soon forgotten.
    """
    now = network.state_dict()
    floats = [name for name, value in mean.items() if value.is_floating_point()]
    average = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))
    average([mean[name] for name in floats], [now[name] for name in floats], None)
    for name in mean.keys() - set(floats):  # counters
        mean[name].copy_(now[name])
