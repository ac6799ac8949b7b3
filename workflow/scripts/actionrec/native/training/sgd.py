"""SGD that starts fast and steps fast."""

from collections.abc import Iterable
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor


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


def make(parameters: Iterable[Tensor], optim: Any) -> SGD:
    """Return SGD with the learning rate, momentum and weight decay of the spec's `optim`.

    Momentum starts as zeros, which gives the same steps as starting with the first gradient.
    PyTorch 2.13's fused SGD takes uninitialised memory for it if fp16 skips the first step.
    """
    optimizer = SGD(
        parameters,
        lr=optim.lr,
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
        fused=True,
    )
    if optim.momentum:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


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
