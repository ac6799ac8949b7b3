"""Resizing, cropping, mirroring and normalisation of frames (TAO 7.3's transforms).

Frames stay uint8, (H, W, 3) for RGB and (H, W, 2) for flow, until a batch is on its device.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from actionrec.errors import InputError
from actionrec.native import precision
from actionrec.native.data.batch import Batch
from actionrec.native.data.crops import Crop

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class CropWindow:
    """A crop without resizing: a view of a frame, or of several frames (N, H, W, channels)."""

    left: int
    top: int
    width: int
    height: int

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Return the part of the frames as a view."""
        rows = slice(self.top, self.top + self.height)
        return frames[..., rows, self.left : self.left + self.width, :]


def draw_augmentation(
    size: tuple[int, int], model: Any, augmentation: Any, rng: np.random.Generator
) -> tuple[Crop, bool]:
    """Draw the crop of a training clip, the same for all its frames, and whether to mirror it.

    `size` is the (width, height) of its prepared frames. Raises `InputError` if they are too
    small for the crop.
    """
    input_size = (model.input_width, model.input_height)
    crop: Crop = CropWindow(0, 0, *input_size)
    if augmentation.train_crop_type == "random_crop":
        crop = _random_crop(size, input_size, rng)
    elif augmentation.train_crop_type == "multi_scale_crop":
        crop = _multi_scale_crop(size, input_size, augmentation.scales, rng)
    return crop, bool(rng.random() < augmentation.horizontal_flip_prob)


def _random_crop(
    frame_size: tuple[int, int], size: tuple[int, int], rng: np.random.Generator
) -> Crop:
    width, height = size
    max_left, max_top = frame_size[0] - width, frame_size[1] - height
    if min(max_left, max_top) < 0:
        raise InputError(
            "Frames are too small for the random crop.",
            where="spec: dataset.augmentation_config.crop_smaller_edge",
            found=f"frames resized to {frame_size[0]}x{frame_size[1]}, crop {width}x{height}",
            fix="raise crop_smaller_edge, or lower model.input_width and model.input_height",
        )
    left, top = rng.integers(max_left + 1), rng.integers(max_top + 1)
    return CropWindow(int(left), int(top), width, height)


def _multi_scale_crop(
    frame_size: tuple[int, int],
    size: tuple[int, int],
    scales: list[float],
    rng: np.random.Generator,
) -> Crop:
    """Return a crop of a square of a random scale at one of 13 places, resized to `size`.

    Wang et al., "Temporal Segment Networks", 2016, without their distortion of the aspect ratio,
    which TAO switches off. A side within two pixels of the input's is set to the input's.
    """
    width, height = frame_size
    side = int(min(width, height) * float(rng.choice(list(scales))))
    crop_w, crop_h = (want if abs(side - want) < 3 else side for want in size)
    step_x, step_y = (width - crop_w) // 4, (height - crop_h) // 4
    x, y = CROP_PLACES[rng.integers(len(CROP_PLACES))]
    box = (x * step_x, y * step_y, x * step_x + crop_w, y * step_y + crop_h)
    return lambda frame: _crop_and_resize(frame, box, size)


def _crop_and_resize(
    frame: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int]
) -> np.ndarray:
    """Crop a frame (H, W, 2 or 3) to `box` (left, top, right, bottom), resize it to `size`."""
    if frame.shape[2] == 2:  # Pillow would take u and v for brightness and transparency
        parts = [_crop_and_resize(part[..., None], box, size) for part in np.moveaxis(frame, 2, 0)]
        return np.stack(parts, axis=-1)
    image = Image.fromarray(frame.squeeze()).crop(box)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


# In quarters of the free space, (x, y): corners, middles of the edges, the centre; then between.
CROP_PLACES = [(x, y) for x in (0, 2, 4) for y in (0, 2, 4)]
CROP_PLACES += [(x, y) for x in (1, 3) for y in (1, 3)]


def normalise(batch: Batch, spec: "DictConfig") -> Tensor | tuple[Tensor, ...]:
    """Map a batch of clips to the network's input, float32; two streams to a pair.

    The shape is (N, C, T, H, W) for 3d and (N, C * T, H, W) for 2d: all red frames first, then
    green, then blue; all u, then all v. As in TAO, mirrored flow keeps the sign of u.
    """
    inputs = tuple(
        _normalise_stream(clips, batch.flips, stream, spec)
        for stream, clips in batch.streams.items()
    )
    return inputs if len(inputs) > 1 else inputs[0]


def _normalise_stream(clips: Tensor, flips: Tensor, stream: str, spec: "DictConfig") -> Tensor:
    """Map clips (N, T, H, W, C), uint8, to the network's input."""
    last = precision.uses_channels_last(spec, clips.device)
    # On a GPU `flips.any()` would make the host wait, so all clips go through `where` there.
    if clips.device.type != "cpu" or flips.any():
        clips = torch.where(flips.view(-1, 1, 1, 1, 1), clips.flip(3), clips)
    clips = clips.permute(0, 4, 1, 2, 3)
    augmentation = spec.dataset.augmentation_config
    # With channels last a CPU would subtract three numbers at a time. Constants of a whole row, in
    # the same memory format, let it work in long vectors.
    width = clips.shape[-1] if last and clips.device.type == "cpu" else 1
    mean, std = (
        _channel_constant(tuple(augmentation[f"{stream}_input_{part}"]), clips.device, width)
        for part in ("mean", "std")
    )
    order = torch.preserve_format if last else torch.contiguous_format
    clips = clips.to(torch.float32, memory_format=order).div_(255).sub_(mean).div_(std)
    clips = clips.flatten(1, 2) if spec.model.input_type == "2d" else clips
    return precision.channels_last(clips) if last else clips


@cache
def _channel_constant(values: tuple[float, ...], device: torch.device, width: int) -> Tensor:
    """Return one value for each channel, (C, 1, 1, width), with the channels last in memory.

    It is cached, because each copy to a GPU makes the host wait.
    """
    return torch.tensor(values, device=device).repeat(width, 1).t()[:, None, None]
