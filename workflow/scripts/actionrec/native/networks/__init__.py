"""The networks of ActionRecognitionNet, with NVIDIA's parameter names and shapes."""

from typing import Any

from torch import nn

from actionrec.errors import InputError
from actionrec.native.networks.resnet import DEPTHS, ResNet

CHANNELS = {"rgb": 3}


def build(model: Any, num_classes: int) -> nn.Module:
    """Return the network that the spec's `model` section names, with fresh weights.

    Raises `InputError` for a network that this engine does not have.
    """
    refuse_unknown(model)
    dimensions = int(model.input_type[0])
    channels = CHANNELS[model.model_type]
    if dimensions == 2:
        channels *= model.rgb_seq_length
    return ResNet(model.backbone, dimensions, channels, num_classes, model.dropout_ratio)


def refuse_unknown(model: Any) -> None:
    """Raise `InputError` unless this engine has the network of the spec's `model` section."""
    for key, known in (("model_type", CHANNELS), ("backbone", DEPTHS)):
        if model[key] not in known:
            raise InputError(
                "The native engine does not have this network yet.",
                where=f"spec: model.{key}",
                found=model[key],
                allowed=known,
                fix="choose one of these, or set tao.runner to one that runs NVIDIA's own code",
            )
    if model.imagenet_pretrained:
        raise InputError(
            "The native engine downloads no ImageNet weights.",
            where="spec: model.imagenet_pretrained",
            found=True,
            fix="give a file in model.rgb_pretrained_model_path",
        )


def input_shape(model: Any, frames: int | None = None) -> tuple[int, ...]:
    """Return the shape of one clip: (C, T, H, W) for 3d, (C * T, H, W) for 2d."""
    channels = CHANNELS[model.model_type]
    frames = frames or model.rgb_seq_length
    size = (model.input_height, model.input_width)
    if model.input_type == "2d":
        return (channels * frames, *size)
    return (channels, frames, *size)
