"""How a frame of any size becomes one of the network's size, when nothing is drawn at random.

Apart from `transforms` because deployment needs it without PyTorch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


def prepared_size(
    size: tuple[int, int], model: Any, augmentation: Any, *, training: bool
) -> tuple[int, int]:
    """Return the (width, height) that a frame of `size` is resized to before any crop.

    `model` and `augmentation` are sections of the spec. As in TAO, multi-scale crops of a joint
    network are cut from the original frames.
    """
    cropped = augmentation.val_center_crop
    if training:
        cropped = augmentation.train_crop_type != "no_crop"
        if model.model_type == "joint" and augmentation.train_crop_type == "multi_scale_crop":
            return size
    if not cropped:
        return model.input_width, model.input_height
    return shorter_edge_size(size, augmentation.crop_smaller_edge)


def shorter_edge_size(size: tuple[int, int], edge: int) -> tuple[int, int]:
    """Return the (width, height) of a frame whose shorter edge becomes `edge` pixels long."""
    width, height = size
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


Crop = Callable[[np.ndarray], np.ndarray]  # from one frame (H, W, channels) to another


def no_crop(frame: np.ndarray) -> np.ndarray:
    """Return a frame as it is."""
    return frame


def centre_crop(size: tuple[int, int]) -> Crop:
    """Return a crop of `size` (width, height) from the middle; smaller frames get black borders."""
    width, height = size

    def crop(frame: np.ndarray) -> np.ndarray:
        missing = [max(0, height - frame.shape[0]), max(0, width - frame.shape[1])]
        if any(missing):
            frame = np.pad(frame, [*((m // 2, (m + 1) // 2) for m in missing), (0, 0)])
        top = round((frame.shape[0] - height) / 2)
        left = round((frame.shape[1] - width) / 2)
        return frame[top : top + height, left : left + width]

    return crop
