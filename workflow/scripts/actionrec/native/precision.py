"""In which numbers a training computes: float32, TF32 or mixed precision."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from actionrec.errors import InputError

HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
FLOAT32 = {"fp32": "ieee", "tf32": "tf32"}


def choose(precision: str, device: torch.device) -> None:
    """Have CUDA compute float32 products as `precision` says; "tao" leaves PyTorch's defaults."""
    if precision in FLOAT32:
        torch.backends.cuda.matmul.fp32_precision = FLOAT32[precision]
        torch.backends.cudnn.conv.fp32_precision = FLOAT32[precision]
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError(
            "This GPU does not compute in bfloat16.",
            where="spec: native.precision",
            found=f"bf16 on {torch.cuda.get_device_name(device)}",
            allowed=["tao", "fp32", "fp16"],
        )


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a network's layers choose their numbers."""
    half = HALVES.get(precision)
    return torch.autocast(device.type, dtype=half, enabled=half is not None)


def scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Return what keeps the gradients of fp16 from vanishing; it does nothing for the others.

    Micikevicius et al., "Mixed Precision Training", 2018.
    """
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def channels_last(spec: Any, device: torch.device) -> bool:
    """Tell whether the channels of clips and weights are the last in memory.

    That is as native.channels_last says, by default on CPUs: they are up to a sixth faster so.
    """
    given = spec.native.channels_last
    return device.type == "cpu" if given is None else given


def lay_out(network: nn.Module, spec: Any, device: torch.device) -> None:
    """Have the channels of a network's convolutions last in memory, if that is due there."""
    if not channels_last(spec, device):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            module.weight.data = last(module.weight.data)


def last(images: Tensor) -> Tensor:
    """Return a tensor of 4 or 5 dimensions with its channels, the second, last in memory."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return images.contiguous(memory_format=formats[images.dim()])
