"""The networks of ActionRecognitionNet, with NVIDIA's parameter names and shapes (TAO 7.3)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from actionrec.native.networks.i3d import InceptionI3d
from actionrec.native.networks.joint import JointModel
from actionrec.native.networks.resnet import ResNet
from actionrec.native.streams import CHANNELS, check_clips, stream_lengths

if TYPE_CHECKING:
    from omegaconf import DictConfig

StreamNetwork = ResNet | InceptionI3d  # a network that sees one stream


def build(model: "DictConfig", num_classes: int) -> nn.Module:
    """Return the network of the spec's `model` section, with random weights.

    Raises `InputError` if the backbone cannot take such clips.
    """
    parts = [build_stream(model, stream, num_classes) for stream in stream_lengths(model)]
    return join_streams(model, parts, num_classes)


def join_streams(
    model: "DictConfig", parts: Sequence[StreamNetwork], num_classes: int
) -> nn.Module:
    """Return the only one of `parts`, or a joint network of the two (rgb, of)."""
    if len(parts) == 1:
        return parts[0]
    rgb, of = parts
    return JointModel(rgb, of, num_classes, model.num_fc)


def build_stream(model: "DictConfig", stream: str, num_classes: int) -> StreamNetwork:
    """Return the network of one stream, "rgb" or "of", with random weights.

    Raises `InputError` if the backbone cannot take such clips.
    """
    channels = CHANNELS[stream]
    check_clips(model)
    if model.backbone == "i3d":
        return InceptionI3d(channels, num_classes, model.dropout_ratio)
    if model.input_type == "2d":
        channels *= stream_lengths(model)[stream]
    dimensions = int(model.input_type[0])
    return ResNet(model.backbone, dimensions, channels, num_classes, model.dropout_ratio)


def input_shapes(model: "DictConfig") -> dict[str, tuple[int, ...]]:
    """Return the shape of one clip by stream: (C, T, H, W) for 3d, (C * T, H, W) for 2d."""
    size = (model.input_height, model.input_width)
    return {
        stream: (CHANNELS[stream] * frames, *size)
        if model.input_type == "2d"
        else (CHANNELS[stream], frames, *size)
        for stream, frames in stream_lengths(model).items()
    }
