"""Two networks, one for frames and one for optical flow, and what joins their answers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class JointModel(nn.Module):
    """The logits of a network for frames and of one for flow, joined by two linear layers."""

    def __init__(self, rgb: nn.Module, of: nn.Module, num_classes: int, num_fc: int) -> None:
        super().__init__()
        self.model_rgb = rgb
        self.model_of = of
        self.fc1 = nn.Linear(2 * num_classes, num_fc)
        self.fc2 = nn.Linear(num_fc, num_classes)

    def forward(self, clips: tuple[Tensor, Tensor]) -> Tensor:
        """Map clips of frames and of flow, as each network takes its own, to logits."""
        rgb, of = clips
        x = torch.cat((self.model_rgb(rgb), self.model_of(of)), dim=1)
        return self.fc2(F.relu(self.fc1(x)))
