"""The networks of ActionRecognitionNet, with NVIDIA's parameter names and shapes."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from actionrec.native import refuse_unknown, streams
from actionrec.native.networks.i3d import InceptionI3d
from actionrec.native.networks.joint import JointModel
from actionrec.native.networks.resnet import ResNet

CHANNELS = {"rgb": 3, "of": 2}


def build(model: Any, num_classes: int) -> nn.Module:
    """Return the network that the spec's `model` section names, with fresh weights.

    Raises `InputError` for a network that cannot be.
    """
    parts = [build_stream(model, stream, num_classes) for stream in streams(model)]
    return join(model, parts, num_classes)


def join(model: Any, parts: Sequence[nn.Module], num_classes: int) -> nn.Module:
    """Return a network of its streams' networks: the one there is, or both joined."""
    if len(parts) == 1:
        return parts[0]
    return JointModel(*parts, num_classes, model.num_fc)


def build_stream(model: Any, stream: str, num_classes: int) -> nn.Module:
    """Return the network for the frames ("rgb") or the optical flow ("of"), with fresh weights."""
    refuse_unknown(model)
    channels = CHANNELS[stream]
    if model.backbone == "i3d":
        return InceptionI3d(channels, num_classes, model.dropout_ratio)
    if model.input_type == "2d":
        channels *= streams(model)[stream]
    dimensions = int(model.input_type[0])
    return ResNet(model.backbone, dimensions, channels, num_classes, model.dropout_ratio)


def input_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of one clip, by stream: (C, T, H, W) for 3d, (C * T, H, W) for 2d."""
    size = (model.input_height, model.input_width)
    return {
        stream: (CHANNELS[stream] * frames, *size)
        if model.input_type == "2d"
        else (CHANNELS[stream], frames, *size)
        for stream, frames in streams(model).items()
    }
