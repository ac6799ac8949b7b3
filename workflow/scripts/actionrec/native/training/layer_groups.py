"""Parts of a network that are frozen, or trained at a rate of their own."""

from typing import TYPE_CHECKING, Any

from torch import nn

from actionrec.errors import InputError
from actionrec.native.streams import stream_lengths
from actionrec.spec.native_keys import STAGES

if TYPE_CHECKING:
    from omegaconf import DictConfig

STAGE_OF_LAYER = {
    "conv1": "stem",
    "bn1": "stem",
    **{stage: stage for stage in STAGES[1:]},
    # I3D's, by the spatial size of their features as those of ResNets, but for its 14 x 14 ones.
    "Conv3d_1a_7x7": "stem",
    "Conv3d_2b_1x1": "stem",
    "Conv3d_2c_3x3": "stem",
    "Mixed_3b": "layer1",
    "Mixed_3c": "layer1",
    "Mixed_4b": "layer2",
    "Mixed_4c": "layer2",
    "Mixed_4d": "layer2",
    "Mixed_4e": "layer3",
    "Mixed_4f": "layer3",
    "Mixed_5b": "layer4",
    "Mixed_5c": "layer4",
}


def stage_of(name: str) -> str | None:
    """Return the stage of a tensor or module by its name; None for classifiers.

    Both streams of a joint network have the stages of their own networks.
    """
    parts = name.split(".")
    if parts[0] in ("model_rgb", "model_of"):
        parts = parts[1:]
    return STAGE_OF_LAYER.get(parts[0]) if parts else None


def freeze(network: nn.Module, spec: "DictConfig") -> None:
    """Let the parts named in native.freeze get no gradients.

    Raises `InputError` if a stream starts from random weights, which would stay so.
    """
    frozen = spec.native.freeze
    if not frozen:
        return
    model = spec.model
    for stream in stream_lengths(model):
        if not (model[f"{stream}_pretrained_model_path"] or model.joint_pretrained_model_path):
            raise InputError(
                "Random weights are to be frozen, so they would never learn anything.",
                where="spec: native.freeze",
                found=f"{', '.join(frozen)}, with no weights for the stream {stream}",
                fix="give the experiment pretrained weights, or remove native.freeze",
            )
    for name, parameter in network.named_parameters():
        if stage_of(name) in frozen:
            parameter.requires_grad_(False)


def set_train_mode(network: nn.Module, spec: "DictConfig") -> None:
    """Set a network to training; frozen parts keep the statistics of their batch normalisation."""
    network.train()
    for name, module in network.named_modules():
        if name and stage_of(name) in spec.native.freeze:
            module.eval()


def parameter_groups(network: nn.Module, spec: "DictConfig") -> list[dict[str, Any]]:
    """Return the groups of an optimizer, by native.lr_factors; the fastest comes first.

    There is one group, with all that is trained in the network's order, unless a factor is set.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            stage = stage_of(name)
            factor = spec.native.lr_factors[stage] if stage else 1.0
            groups.setdefault(factor, []).append(parameter)
    rate = spec.train.optim.lr
    return [
        {"params": parameters, "lr": rate * factor}
        for factor, parameters in sorted(groups.items(), key=lambda item: -item[0])
    ]
