"""Inception-v1 inflated to clips (I3D), with the parameter names of its public PyTorch weights.

Carreira and Zisserman, "Quo Vadis, Action Recognition?", 2017.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Channels of each mixed layer: 1x1, then 1x1 and 3x3, then 1x1 and 3x3, then pooled 1x1.
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
# The pooling layer in front of a layer: its name, kernel and stride (time, height, width).
POOLS = {
    "Conv3d_2b_1x1": ("MaxPool3d_2a_3x3", (1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ("MaxPool3d_3a_3x3", (1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ("MaxPool3d_4a_3x3", (3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ("MaxPool3d_5a_2x2", (2, 2, 2), (2, 2, 2)),
}


def pad_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Pad (N, C, T, H, W) with zeros so that a stride s leaves ceil(size / s) positions.

    This is TensorFlow's "SAME": an odd number of zeros has the larger half at the end.
    """
    sides: list[int] = []  # of F.pad, which counts from the last dimension
    for size, width, step in zip(x.shape[2:], kernel, stride, strict=True):
        total = max(0, width - (int(size) % step or step))
        sides = [total // 2, total - total // 2, *sides]
    return F.pad(x, sides)


class SamePool(nn.MaxPool3d):
    """Max pooling with "SAME" padding; zeros do not matter, as its input is never negative."""

    kernel_size: tuple[int, int, int]
    stride: tuple[int, int, int]

    def forward(self, input: Tensor) -> Tensor:
        """Pool (N, C, T, H, W) to ceil(size / stride)."""
        return super().forward(pad_same(input, self.kernel_size, self.stride))


class Unit(nn.Module):
    """Convolution, batch normalisation, ReLU; keeps the size, or halves it with `stride` 2."""

    def __init__(self, channels: int, planes: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.padded = stride > 1
        padding = 0 if self.padded else kernel // 2
        self.conv3d = nn.Conv3d(channels, planes, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm3d(planes, eps=0.001, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, ...) to (N, planes, ...)."""
        if self.padded:
            x = pad_same(x, self.conv3d.kernel_size, self.conv3d.stride)
        return F.relu(self.bn(self.conv3d(x)), inplace=True)


class Mixed(nn.Module):
    """An Inception block: four branches on one input, concatenated by channels."""

    def __init__(self, channels: int, planes: tuple[int, ...]) -> None:
        super().__init__()
        self.b0 = Unit(channels, planes[0], 1)
        self.b1a = Unit(channels, planes[1], 1)
        self.b1b = Unit(planes[1], planes[2], 3)
        self.b2a = Unit(channels, planes[3], 1)
        self.b2b = Unit(planes[3], planes[4], 3)
        self.b3a = nn.MaxPool3d(3, stride=1, padding=1)
        self.b3b = Unit(channels, planes[5], 1)
        self.width = planes[0] + planes[2] + planes[4] + planes[5]

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, T, H, W) to (N, width, T, H, W)."""
        branches = (self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x)))
        return torch.cat(branches, dim=1)


class InceptionI3d(nn.Module):
    """I3D for clips of 9 frames and 193 x 193 pixels or more.

    The logits are averaged over time and space. TAO 7.3 averages over time alone, so it cannot
    train above 224 x 224; up to this size both give the same logits.
    """

    def __init__(self, channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.avg_pool = nn.AvgPool3d((2, 7, 7), stride=1)
        self.dropout = nn.Dropout(dropout)
        # Registered first, as in TAO: an optimizer's state is stored by the order of parameters.
        self.replace_head(num_classes)
        body: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": Unit(channels, 64, 7, stride=2),
            "Conv3d_2b_1x1": Unit(64, 64, 1),
            "Conv3d_2c_3x3": Unit(64, 192, 3),
        }
        width = 192
        for name, planes in MIXED.items():
            mixed = Mixed(width, planes)
            body[name], width = mixed, mixed.width
        self._order: list[str] = []  # of the layers in `forward`
        for name, layer in body.items():
            if name in POOLS:
                pool, kernel, stride = POOLS[name]
                self._append(pool, SamePool(kernel, stride))
            self._append(name, layer)

    def _append(self, name: str, layer: nn.Module) -> None:
        self.add_module(name, layer)
        self._order.append(name)

    def replace_head(self, num_classes: int) -> None:
        """Replace the classifier by one with random weights."""
        self.logits = nn.Sequential(OrderedDict(conv3d=nn.Conv3d(1024, num_classes, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Map clips (N, C, T, H, W) to logits (N, classes)."""
        return self.classify(self.feature_maps(x))

    def feature_maps(self, x: Tensor) -> Tensor:
        """Map clips to what the last block sees in them, (N, 1024, t, h, w)."""
        for name in self._order:
            x = getattr(self, name)(x)
        return x

    def classify(self, maps: Tensor) -> Tensor:
        """Map feature maps to logits (N, classes)."""
        return self.logits(self.dropout(self.avg_pool(maps))).mean(dim=(2, 3, 4))
