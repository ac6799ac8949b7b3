"""Two networks, one for frames and one for optical flow, and the layers that join their logits."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actionrec.native.networks.i3d import InceptionI3d
from actionrec.native.networks.resnet import ResNet

Stream = ResNet | InceptionI3d


class JointModel(nn.Module):
    """A two-stream network: the logits of both streams, joined by two linear layers.

    Simonyan and Zisserman, "Two-Stream Convolutional Networks for Action Recognition in Videos",
    2014, average the scores of the streams; the layers here are TAO's (7.3).
    """

    def __init__(self, rgb: Stream, of: Stream, num_classes: int, num_fc: int) -> None:
        super().__init__()
        self.model_rgb = rgb
        self.model_of = of
        self.fc1 = nn.Linear(2 * num_classes, num_fc)
        self.fc2 = nn.Linear(num_fc, num_classes)

    def forward(self, clips: tuple[Tensor, Tensor]) -> Tensor:
        """Map (frames, flow), each in the shape that its network takes, to logits (N, classes)."""
        return self.classify(self.feature_maps(clips))

    def feature_maps(self, clips: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Map (frames, flow) to the feature maps of both networks."""
        rgb, of = clips
        return self.model_rgb.feature_maps(rgb), self.model_of.feature_maps(of)

    def classify(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        """Map the feature maps of both networks to logits (N, classes)."""
        rgb, of = maps
        x = torch.cat((self.model_rgb.classify(rgb), self.model_of.classify(of)), dim=1)
        return self.fc2(F.relu(self.fc1(x)))
