"""SGD that is quick to import and steps in one fused kernel."""

from collections.abc import Iterable
from inspect import unwrap
from typing import Any

import torch

# PyTorch wraps these methods to keep torch.compile away from them, and for that it imports all of
# torch._dynamo: 1.7 s before the first step.
_state_dict = unwrap(torch.optim.SGD.state_dict)
_load_state_dict = unwrap(torch.optim.SGD.load_state_dict)


class SGD(torch.optim.SGD):
    """`torch.optim.SGD` without torch.compile."""

    add_param_group = unwrap(torch.optim.SGD.add_param_group)
    zero_grad = unwrap(torch.optim.SGD.zero_grad)
    step = torch.no_grad()(unwrap(torch.optim.SGD.step))

    def state_dict(self) -> dict[str, Any]:
        """Return the state that any SGD can load, also one that is not fused."""
        state_dict = _state_dict(self)
        for group in state_dict["param_groups"]:
            group["fused"] = None
        return state_dict

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of any SGD, and keep stepping in one fused kernel."""
        _load_state_dict(self, state_dict)
        for group in self.param_groups:
            group["fused"] = True


def build_optimizer(parameters: Iterable[Any], optim: Any) -> SGD:
    """Return SGD with the learning rate, momentum and weight decay of the spec's `optim`.

    `parameters` are tensors, or groups of them with rates of their own.

    The momentum starts as zeros, which gives the same steps as PyTorch's start with the first
    gradient. PyTorch 2.13's fused SGD uses uninitialised memory if fp16 skips the first step.
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
