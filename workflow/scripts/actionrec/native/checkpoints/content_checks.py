"""What a checkpoint must hold to be used: checks of its content, whoever wrote the file."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from actionrec.errors import InputError
from actionrec.utils.text import count

CLASSIFIERS = ("fc_cls.weight", "fc2.weight", "logits.conv3d.weight")  # ResNet, joint, I3D
MAX_STEPS = 2**53


class UnusableCheckpoint(InputError):
    """A file that is no checkpoint, or a damaged one, or one with weights that are no numbers."""

    def __init__(self, path: object, where: str, found: str, problem: str | None = None) -> None:
        super().__init__(
            problem or "The file is damaged, or no checkpoint of tensors and plain values.",
            where=where,
            found=f"{path}: {found}",
            fix="give another file, or make this one again",
        )


class DivergedWeights(UnusableCheckpoint):
    """Weights that are NaN or infinite."""


def check_state_dict(state: Any, path: object, where: str) -> None:
    """Raise `UnusableCheckpoint` unless `state` names dense tensors of finite numbers."""
    if not isinstance(state, Mapping):
        raise UnusableCheckpoint(path, where, f"its state_dict is a {type(state).__name__}")
    for name, value in state.items():
        if fault := _fault(name, value):
            raise UnusableCheckpoint(path, where, f"{name} {fault}")
    broken = [name for name, value in state.items() if not is_finite(value)]
    if broken:
        raise DivergedWeights(
            path,
            where,
            f"NaN or infinite numbers in {len(broken)} of {len(state)} tensors, first in "
            f"{broken[0]}",
            "The weights are not finite: the training that made them has diverged.",
        )


def _fault(name: Any, value: Any) -> str | None:
    """Return what keeps an entry of a state dict from being a weight, or None."""
    if not isinstance(name, str):
        return "is a key that is no name"
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, no tensor"
    if value.layout != torch.strided or value.is_quantized or value.is_complex():
        return "is a sparse, quantized or complex tensor"
    if value.is_meta:
        return "is a tensor without data"
    is_classifier = name.rpartition("model.")[2] in CLASSIFIERS
    if is_classifier and (value.dim() < 2 or not value.numel()):
        return f"is a classifier of shape {tuple(value.shape)}"
    return None


def is_finite(tensor: Tensor) -> bool:
    """Tell whether a tensor holds neither NaN nor infinity."""
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def check_tensors(
    network: nn.Module, state_dict: Mapping[str, Any], path: object, where: str
) -> None:
    """Raise `InputError` unless names and shapes are exactly the network's."""
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(getattr(value, "shape", ())) for name, value in state_dict.items()}
    if found == expected:
        return
    differences = [
        f"{name}: {found.get(name, 'missing')} instead of {expected.get(name, 'nothing')}"
        for name in [*expected, *(name for name in found if name not in expected)]
        if found.get(name) != expected.get(name)
    ]
    # Of a wrong backbone nearly all tensors differ; three tell enough.
    shown = "; ".join(differences[:3]) + ("; ..." if len(differences) > 3 else "")
    raise InputError(
        "The weights are of another network than the spec's model section names.",
        where=f"spec: {where}",
        found=f"{path}: {count(len(differences), 'tensor differs', 'tensors differ')}: {shown}",
        fix="make model_type, backbone, input_type and the seq_lengths those of the weights",
    )


def check_progress(checkpoint: Mapping[str, Any], num_epochs: int, path: object) -> None:
    """Raise `InputError` unless a training of `num_epochs` can resume at a checkpoint's epoch."""
    for name in ("epoch", "global_step"):
        value = checkpoint[name]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_STEPS:
            raise _not_resumable(path, f"its {name} is {value!r}")
    if checkpoint["epoch"] >= num_epochs:
        raise InputError(
            "The checkpoint is from beyond the end of the training.",
            where=f"spec: train.num_epochs: {num_epochs}",
            found=f"{path}: epoch {checkpoint['epoch'] + 1}",
            fix="raise train.num_epochs, or remove the results folder to train from the start",
        )


def check_optimizer_state(
    optimizer: torch.optim.Optimizer, states: Any, path: object
) -> Mapping[str, Any]:
    """Return the one of `states` that `optimizer` can load; raise `InputError` unless it is there.

    It must be of the same kind of optimizer, for as many parameters of the same shapes.
    """
    if not isinstance(states, list) or len(states) != 1 or not isinstance(states[0], Mapping):
        raise _not_resumable(path, "its optimizer_states are not those of one optimizer")
    groups, state = states[0].get("param_groups"), states[0].get("state")
    own = optimizer.param_groups
    if not isinstance(groups, list) or not isinstance(state, Mapping):
        raise _not_resumable(path, "its optimizer_states lack param_groups or state")
    sizes = [len(group.get("params", ())) for group in groups]
    if sizes != [len(group["params"]) for group in own]:
        raise _not_resumable(path, f"its optimizer has groups of {sizes} parameters")
    for group in groups:
        for name in ("lr", "momentum", "weight_decay"):
            value = group.get(name)
            if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise _not_resumable(path, f"its optimizer is no SGD's: {name} is {value!r}")
    numbers = [number for group in groups for number in group["params"]]
    parameters = [parameter for group in own for parameter in group["params"]]
    shapes = {number: p.shape for number, p in zip(numbers, parameters, strict=True)}
    for number, entry in state.items():
        if fault := _momentum_fault(entry, shapes.get(number)):
            raise _not_resumable(path, f"of parameter {number} its optimizer {fault}")
    return states[0]


def _momentum_fault(entry: Any, shape: torch.Size | None) -> str | None:
    """Return what keeps an optimizer's entry for a parameter from being SGD's momentum, or None."""
    if shape is None:
        return "has a state, and there is no such parameter"
    if not isinstance(entry, Mapping) or not set(entry) <= {"momentum_buffer"}:
        return "holds what no SGD has"
    buffer = entry.get("momentum_buffer")
    if buffer is None:  # before the first step
        return None
    if not isinstance(buffer, Tensor) or buffer.shape != shape:
        return f"has a momentum of shape {tuple(getattr(buffer, 'shape', ()))}"
    return None if is_finite(buffer) else "has a momentum that is not finite"


def _not_resumable(path: object, found: str) -> InputError:
    return InputError(
        "The file is no checkpoint that a training can resume from.",
        where="spec: train.resume_training_checkpoint_path",
        found=f"{path}: {found}",
        fix="give another checkpoint, or remove the results folder to train from the start",
    )


def explained(path: object, error: Exception) -> InputError:
    """Return the error for a checkpoint whose state is of an unexpected kind."""
    return _not_resumable(path, f"{type(error).__name__}: {error}")
