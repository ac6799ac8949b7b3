"""The networks whose public weights the engine takes, rebuilt from their descriptions.

Only the names, shapes and strides of the originals matter here. `R3D18` is torchvision's r3d_18
(Tran et al., "A Closer Look at Spatiotemporal Convolutions for Action Recognition", 2018),
`KineticsResNet` that of 3D-ResNets-PyTorch (Hara et al., "Can Spatiotemporal 3D CNNs Retrace the
History of 2D CNNs and ImageNet?", 2018).
"""

import torch.nn.functional as F
from torch import nn


def conv(channels, planes, kernel, stride=1):
    size = (kernel,) * 3 if isinstance(kernel, int) else kernel
    return nn.Conv3d(channels, planes, size, stride, tuple(k // 2 for k in size), bias=False)


def shortcut(channels, planes, stride):
    if stride == 1 and channels == planes:
        return None
    return nn.Sequential(conv(channels, planes, 1, stride), nn.BatchNorm3d(planes))


class NestedBlock(nn.Module):
    """A basic block with each convolution and its batch normalisation in a Sequential."""

    expansion = 1

    def __init__(self, channels, planes, stride):
        super().__init__()
        self.conv1 = nn.Sequential(
            conv(channels, planes, 3, stride), nn.BatchNorm3d(planes), nn.ReLU()
        )
        self.conv2 = nn.Sequential(conv(planes, planes, 3), nn.BatchNorm3d(planes))
        self.downsample = shortcut(channels, planes, stride)

    def forward(self, x):
        own = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv2(self.conv1(x)) + own)


class FlatBlock(nn.Module):
    expansion = 1

    def __init__(self, channels, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, planes, 3, stride), nn.BatchNorm3d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3), nn.BatchNorm3d(planes)
        self.downsample = shortcut(channels, planes, stride)

    def forward(self, x):
        own = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + own)


class FlatBottleneck(nn.Module):
    expansion = 4

    def __init__(self, channels, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(channels, planes, 1), nn.BatchNorm3d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3, stride), nn.BatchNorm3d(planes)
        self.conv3, self.bn3 = conv(planes, planes * 4, 1), nn.BatchNorm3d(planes * 4)
        self.downsample = shortcut(channels, planes * 4, stride)


def stages(network, block, depths):
    """Give a network layer1 to layer4; all but the first stride through time and space."""
    width = 64
    for index, depth in enumerate(depths):
        planes, blocks = 64 * 2**index, []
        for number in range(depth):
            blocks.append(block(width, planes, 2 if index and not number else 1))
            width = planes * block.expansion
        setattr(network, f"layer{index + 1}", nn.Sequential(*blocks))
    return width


class R3D18(nn.Module):
    def __init__(self, classes=400):
        super().__init__()
        self.stem = nn.Sequential(
            conv(3, 64, (3, 7, 7), stride=(1, 2, 2)), nn.BatchNorm3d(64), nn.ReLU()
        )
        self.fc = nn.Linear(stages(self, NestedBlock, (2, 2, 2, 2)), classes)


class KineticsResNet(nn.Module):
    def __init__(self, block, depths, classes=700):
        super().__init__()
        self.conv1 = conv(3, 64, 7, stride=(1, 2, 2))
        self.bn1 = nn.BatchNorm3d(64)
        self.fc = nn.Linear(stages(self, block, depths), classes)
