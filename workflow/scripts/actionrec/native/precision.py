"""Number formats and memory format of a network: float32, TF32, mixed precision, channels last."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from actionrec.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

HALF_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
FLOAT32_MODES = {"fp32": "ieee", "tf32": "tf32"}


def set_float32_mode(precision: str, device: torch.device) -> None:
    """Let CUDA compute float32 products as `precision` says; "tao" keeps PyTorch's defaults.

    Raises `InputError` for bf16 on a GPU that does not have it.
    """
    if precision in FLOAT32_MODES:
        mode = FLOAT32_MODES[precision]
        torch.backends.cuda.matmul.fp32_precision = mode
        torch.backends.cudnn.conv.fp32_precision = mode  # type: ignore[attr-defined]
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise InputError(
            "This GPU does not compute in bfloat16.",
            where="spec: native.precision",
            found=f"bf16 on {torch.cuda.get_device_name(device)}",
            allowed=["tao", "fp32", "fp16"],
        )


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context in which a network's layers compute in bf16 or fp16, if that is set."""
    half = HALF_TYPES.get(precision)
    return torch.autocast(device.type, dtype=half, enabled=half is not None)


def grad_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Return the loss scaler that keeps small fp16 gradients from vanishing; else a disabled one.

    Micikevicius et al., "Mixed Precision Training", 2018.
    """
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def uses_channels_last(spec: "DictConfig", device: torch.device) -> bool:
    """Tell whether clips and weights have their channels last in memory.

    This is native.channels_last, by default true on CPUs, which are up to a sixth faster with it.
    """
    setting = spec.native.channels_last
    return device.type == "cpu" if setting is None else setting


def apply_memory_format(network: nn.Module, spec: "DictConfig", device: torch.device) -> None:
    """Give the weights of a network's convolutions the memory format of its clips."""
    if not uses_channels_last(spec, device):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            module.weight.data = channels_last(module.weight.data)


def channels_last(images: Tensor) -> Tensor:
    """Return (N, C, H, W) or (N, C, T, H, W) with the channels last in memory, same shape."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return images.contiguous(memory_format=formats[images.dim()])
