"""ResNet-18 to 152 over images (2D) and clips (3D), as ActionRecognitionNet has them.

He et al., "Deep Residual Learning for Image Recognition", 2016. The 3D form replaces each
kernel by a cube, strides through time in the stem only (kernel 5 x 7 x 7), and keeps the
temporal stride of all blocks at one (TAO 7.3).
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from actionrec.native.networks.conv import Conv3d


@dataclass(frozen=True)
class Layers:
    """The layer types of one dimensionality, with the shapes of the stem."""

    conv: type[nn.Module]
    norm: type[nn.Module]
    average: type[nn.Module]
    pool: nn.Module
    stem: dict[str, Any]
    time: tuple[int, ...]  # the temporal stride, in front of the spatial ones; () in 2D

    def stride(self, spatial: int) -> tuple[int, ...]:
        """Return the stride of a convolution that strides through space only."""
        return (*self.time, spatial, spatial)


def _layers(dimensions: int) -> Layers:
    if dimensions == 2:
        return Layers(
            nn.Conv2d,
            nn.BatchNorm2d,
            nn.AdaptiveAvgPool2d,
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
            {"kernel_size": 7, "stride": 2, "padding": 3},
            (),
        )
    return Layers(
        Conv3d,
        nn.BatchNorm3d,
        nn.AdaptiveAvgPool3d,
        nn.MaxPool3d(kernel_size=(1, 3, 3), stride=2, padding=(0, 1, 1)),
        {"kernel_size": (5, 7, 7), "stride": 2, "padding": (2, 3, 3)},
        (1,),
    )


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, layers: Layers, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = layers.conv(
            channels, planes, 3, stride=layers.stride(stride), padding=1, bias=False
        )
        self.bn1 = layers.norm(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = layers.conv(planes, planes, 3, stride=layers.stride(1), padding=1, bias=False)
        self.bn2 = layers.norm(planes)
        self.downsample = _shortcut(layers, channels, planes * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, ...) to (N, planes, ...)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions and a shortcut; the 3 x 3 one strides."""

    expansion = 4

    def __init__(self, layers: Layers, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = layers.conv(channels, planes, 1, stride=layers.stride(1), bias=False)
        self.bn1 = layers.norm(planes)
        self.conv2 = layers.conv(
            planes, planes, 3, stride=layers.stride(stride), padding=1, bias=False
        )
        self.bn2 = layers.norm(planes)
        self.conv3 = layers.conv(
            planes, planes * self.expansion, 1, stride=layers.stride(1), bias=False
        )
        self.bn3 = layers.norm(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(layers, channels, planes * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, ...) to (N, 4 * planes, ...)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + shortcut)


DEPTHS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    "resnet_18": (BasicBlock, (2, 2, 2, 2)),
    "resnet_34": (BasicBlock, (3, 4, 6, 3)),
    "resnet_50": (Bottleneck, (3, 4, 6, 3)),
    "resnet_101": (Bottleneck, (3, 4, 23, 3)),
    "resnet_152": (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """A residual network over images (2 dimensions) or clips (3)."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self, backbone: str, dimensions: int, channels: int, num_classes: int, dropout: float
    ) -> None:
        super().__init__()
        block, depths = DEPTHS[backbone]
        layers = _layers(dimensions)
        self.conv1 = layers.conv(channels, 64, bias=False, **layers.stem)
        self.bn1 = layers.norm(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = layers.pool
        width = 64
        for index, depth in enumerate(depths):
            planes = 64 * 2**index
            blocks = []
            for number in range(depth):
                stride = 2 if index and not number else 1
                blocks.append(block(layers, width, planes, stride))
                width = planes * block.expansion
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
        self.avg_pool = layers.average(1)
        self.dropout = nn.Dropout(dropout)
        self.fc_cls = nn.Linear(width, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def replace_head(self, num_classes: int) -> None:
        """Replace the classifier by one with random weights."""
        self.fc_cls = nn.Linear(self.fc_cls.in_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map clips (N, C, T, H, W), or (N, C * T, H, W) in 2D, to logits (N, classes)."""
        return self.classify(self.feature_maps(x))

    def feature_maps(self, x: Tensor) -> Tensor:
        """Map clips to what the last convolution sees in them, (N, width, t, h, w) or in 2D 4-D."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def classify(self, maps: Tensor) -> Tensor:
        """Map feature maps to logits (N, classes)."""
        return self.fc_cls(self.dropout(self.avg_pool(maps).flatten(1)))


def _shortcut(layers: Layers, channels: int, width: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == width:
        return None
    return nn.Sequential(
        layers.conv(channels, width, 1, stride=layers.stride(stride), bias=False),
        layers.norm(width),
    )
