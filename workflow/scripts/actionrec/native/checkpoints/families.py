"""Weights of public networks, fitted to TAO's: renamed, padded, cropped or repeated where needed.

| family | first layer (O, C, T, H, W) | TAO's 3D ResNet | change |
| --- | --- | --- | --- |
| torchvision's r3d_18 | (64, 3, 3, 7, 7) | (64, 3, 5, 7, 7) | a slice of zeros before and after |
| 3D-ResNets-PyTorch | (64, 3, 7, 7, 7) | (64, 3, 5, 7, 7) | the first and last slice are cut off |
| torchvision's ResNets | (64, 3, 7, 7) | (64, 3, 5, 7, 7) | repeated, as all kernels are |

All other kernels and the batch statistics are taken as they are, and the classifier is new. TAO's
ResNets stride through time in the first layer and the pooling; the others do so in layers 2 to 4.
So features of longer clips differ from the source's until the training has adapted them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor

FIRST_LAYERS = ("conv1.weight", "Conv3d_1a_7x7.conv3d.weight")  # of a ResNet, of I3D
CLASSIFIER = "fc."  # of all families; TAO's is called otherwise


@dataclass(frozen=True)
class Family:
    """Public networks whose weights fit TAO's ResNets, once their tensors have TAO's names."""

    name: str
    first_layer: str  # its name in a file
    dimensions: int  # of its kernels: 2 for images, 3 for clips
    renames: tuple[tuple[str, str], ...] = ()  # regular expressions and what replaces them

    def owns(self, state_dict: Mapping[str, Tensor]) -> bool:
        """Tell whether a state dict is of this family."""
        kernel = state_dict.get(self.first_layer)
        classifier = f"{CLASSIFIER}weight" in state_dict
        return classifier and kernel is not None and kernel.dim() == self.dimensions + 2

    def tao_name(self, name: str) -> str:
        """Return what TAO calls a tensor."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


FAMILIES = (
    Family(
        "torchvision's video ResNet",
        "stem.0.weight",
        dimensions=3,
        renames=(
            (r"^stem\.0\.", "conv1."),
            (r"^stem\.1\.", "bn1."),
            (r"\.conv(\d)\.0\.", r".conv\1."),
            (r"\.conv(\d)\.1\.", r".bn\1."),
        ),
    ),
    Family("3D-ResNets-PyTorch", "conv1.weight", dimensions=3),
    Family("torchvision's ResNet", "conv1.weight", dimensions=2),
)
TAO = "TAO"


def family_of(state_dict: Mapping[str, Tensor]) -> Family | None:
    """Return the public family of a state dict, or None for TAO's own names and unknown ones."""
    return next((family for family in FAMILIES if family.owns(state_dict)), None)


@dataclass
class Fitted:
    """The tensors of a file, fitted to a network, and which were changed in which way."""

    state_dict: dict[str, Tensor]
    family: str = TAO
    changes: dict[str, list[str]] = field(default_factory=dict)  # names, by the kind of change

    def change(self, kind: str, name: str, value: Tensor) -> None:
        """Replace a tensor and note how it was changed."""
        self.state_dict[name] = value
        self.changes.setdefault(kind, []).append(name)


def fit(state_dict: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Fitted:
    """Fit a file's tensors to the network whose state dict is `own`, as far as they can be.

    What cannot be fitted keeps its name and shape, so that loading refuses it. As in TAO, a 2D
    network takes the mean over other channels.
    """
    family = family_of(state_dict)
    fitted = Fitted(dict(state_dict), family.name if family else TAO)
    # Old files lack the counters of batch normalisation, which training does not read.
    counters = {n: value for n, value in own.items() if n.endswith("num_batches_tracked")}
    if family:
        named = {family.tao_name(name): value for name, value in state_dict.items()}
        fitted.state_dict = {n: v for n, v in named.items() if not n.startswith(CLASSIFIER)}
        for name in (name for name in own if name.startswith("fc_cls.")):
            fitted.change("new", name, own[name])
    fitted.state_dict = counters | fitted.state_dict
    for name in FIRST_LAYERS:
        if name in fitted.state_dict and name in own:
            _fit_first_layer(fitted, name, own[name], family)
    if family and family.dimensions == 2:
        _inflate(fitted, own)
    return fitted


def _fit_first_layer(fitted: Fitted, name: str, own: Tensor, family: Family | None) -> None:
    """Fit the first layer's channels, and the time that a public network's kernel sees."""
    kernel = fitted.state_dict[name]
    channels = own.shape[1]
    if kernel.shape[1] != channels and _averages_channels(kernel, own):
        mean = kernel.mean(dim=1, keepdim=True)
        fitted.change(
            "averaged over channels", name, mean.expand(-1, channels, *kernel.shape[2:]).clone()
        )
    kernel = fitted.state_dict[name]
    if family and kernel.dim() == own.dim() == 5:
        missing = own.shape[2] - kernel.shape[2]
        if missing:
            kind = "padded with zeros in time" if missing > 0 else "cropped in time"
            # A negative padding crops. The middle stays in the middle.
            side = missing // 2
            padded = F.pad(kernel, (0, 0, 0, 0, side, missing - side))
            fitted.change(kind, name, padded)


def _averages_channels(kernel: Tensor, own: Tensor) -> bool:
    """Tell whether each channel of the first layer `own` is to be the mean of the file's.

    This lets flow start from frames, as two-stream networks do (Wang et al., "Temporal Segment
    Networks", 2016), and a clip of T stacked frames from single images. In 3D, frames do not start
    from flow.
    """
    if kernel.dim() == 4:  # images, or frames stacked as TAO's 2D networks see them
        return own.dim() == 4 or kernel.shape[1] == 3
    return own.dim() == 5 and kernel.shape[1] == 3 and own.shape[1] == 2


def _inflate(fitted: Fitted, own: Mapping[str, Tensor]) -> None:
    """Repeat 2D kernels (O, C, H, W) through the time of 3D ones (O, C, T, H, W).

    They are divided by T, so that a clip of equal frames has the image's activations (Carreira and
    Zisserman, "Quo Vadis, Action Recognition?", 2017).
    """
    for name, kernel in list(fitted.state_dict.items()):
        if kernel.dim() == 4 and name in own and own[name].dim() == 5:
            frames = own[name].shape[2]
            inflated = kernel.unsqueeze(2).repeat(1, 1, frames, 1, 1) / frames
            fitted.change("repeated through time", name, inflated)
