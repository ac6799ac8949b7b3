"""The networks of ActionRecognitionNet, with NVIDIA's parameter names and shapes."""

from typing import Any

from torch import nn

from actionrec.native import refuse_unknown
from actionrec.native.networks.resnet import ResNet

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


def input_shape(model: Any, frames: int | None = None) -> tuple[int, ...]:
    """Return the shape of one clip: (C, T, H, W) for 3d, (C * T, H, W) for 2d."""
    channels = CHANNELS[model.model_type]
    frames = frames or model.rgb_seq_length
    size = (model.input_height, model.input_width)
    if model.input_type == "2d":
        return (channels * frames, *size)
    return (channels, frames, *size)
