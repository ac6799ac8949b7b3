"""SGD that starts fast and steps fast."""

from inspect import unwrap
from typing import Any

import torch


class SGD(torch.optim.SGD):
    """`torch.optim.SGD` that needs no torch.compile.

    PyTorch wraps these methods to keep torch.compile away from them, for which it imports the
    whole of torch._dynamo: 1.7 s before the first step.
    """

    add_param_group = unwrap(torch.optim.SGD.add_param_group)
    zero_grad = unwrap(torch.optim.SGD.zero_grad)
    state_dict = unwrap(torch.optim.SGD.state_dict)
    load_state_dict = unwrap(torch.optim.SGD.load_state_dict)
    step = torch.no_grad()(unwrap(torch.optim.SGD.step))


def make(parameters: Any, optim: Any) -> SGD:
    """Return SGD with the learning rate, momentum and weight decay of the spec's `optim`."""
    return SGD(
        parameters,
        lr=optim.lr,
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
        fused=True,
    )


def state_of(optimizer: SGD) -> dict[str, Any]:
    """Return the optimizer's state as any SGD has it: how steps are computed binds nobody."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["fused"] = None
    return state


def restore(optimizer: SGD, state: dict[str, Any]) -> None:
    """Take up a state, and keep stepping in one fused pass."""
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        group["fused"] = True
