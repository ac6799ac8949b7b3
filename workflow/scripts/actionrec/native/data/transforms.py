"""What happens to frames between the file and the network (TAO 7.3's transforms).

Frames stay uint8, (H, W, 3), or (H, W, 2) of optical flow, until a batch is on its device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from actionrec.errors import InputError
from actionrec.native import precision
from actionrec.native.data.dataloader import Batch


def prepared_size(
    size: tuple[int, int], model: Any, augmentation: Any, *, training: bool
) -> tuple[int, int]:
    """Return the (width, height) that a frame of `size` is resized to before any crop.

    `model` and `augmentation` are sections of the spec. As in TAO, the multi-scale crops of a
    joint network are cut out of frames as they are.
    """
    cropped = augmentation.val_center_crop
    if training:
        cropped = augmentation.train_crop_type != "no_crop"
        if model.model_type == "joint" and augmentation.train_crop_type == "multi_scale_crop":
            return size
    if not cropped:
        return model.input_width, model.input_height
    width, height = size
    edge = augmentation.crop_smaller_edge
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


Crop = Callable[[np.ndarray], np.ndarray]  # of one frame (H, W, channels)


@dataclass(frozen=True)
class Window:
    """A crop that is a part of the frame; of several frames (N, H, W, channels) of each."""

    left: int
    top: int
    width: int
    height: int

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Return a view of the part."""
        rows = slice(self.top, self.top + self.height)
        return frames[..., rows, self.left : self.left + self.width, :]


def draw(
    size: tuple[int, int], model: Any, augmentation: Any, rng: np.random.Generator
) -> tuple[Crop, bool]:
    """Draw how a training clip is cropped, all its frames alike, and whether it is mirrored.

    `size` is the (width, height) of its prepared frames. Raises `InputError` if they are too
    small.
    """
    wanted = (model.input_width, model.input_height)
    crop: Crop = Window(0, 0, *wanted)
    if augmentation.train_crop_type == "random_crop":
        crop = _random_crop(size, wanted, rng)
    elif augmentation.train_crop_type == "multi_scale_crop":
        crop = _multi_scale_crop(size, wanted, augmentation.scales, rng)
    return crop, bool(rng.random() < augmentation.horizontal_flip_prob)


def whole(frame: np.ndarray) -> np.ndarray:
    """Return a frame as it is."""
    return frame


def centre_crop(size: tuple[int, int]) -> Crop:
    """Cut `size` (width, height) out of the middle of frames, with black where they are smaller."""
    width, height = size

    def crop(frame: np.ndarray) -> np.ndarray:
        short = [
            max(0, want - have) for want, have in zip((height, width), frame.shape[:2], strict=True)
        ]
        if any(short):
            frame = np.pad(frame, [*((s // 2, (s + 1) // 2) for s in short), (0, 0)])
        top = round((frame.shape[0] - height) / 2)
        left = round((frame.shape[1] - width) / 2)
        return frame[top : top + height, left : left + width]

    return crop


def _random_crop(room: tuple[int, int], size: tuple[int, int], rng: np.random.Generator) -> Crop:
    width, height = size
    room_x, room_y = room[0] - width, room[1] - height
    if min(room_x, room_y) < 0:
        raise InputError(
            "Frames are too small for the random crop.",
            where="spec: dataset.augmentation_config.crop_smaller_edge",
            found=f"frames resized to {room[0]}x{room[1]}, crop {width}x{height}",
            fix="raise crop_smaller_edge, or lower model.input_width and model.input_height",
        )
    left, top = rng.integers(room_x + 1), rng.integers(room_y + 1)
    return Window(left, top, width, height)


def _multi_scale_crop(
    room: tuple[int, int], size: tuple[int, int], scales: list[float], rng: np.random.Generator
) -> Crop:
    """Cut a square of a random scale at one of 13 fixed places, and resize it.

    Wang et al., "Temporal Segment Networks", 2016, without their distortion of the aspect ratio,
    as TAO calls it. A side that comes within two pixels of the input's is the input's.
    """
    width, height = room
    side = int(min(width, height) * float(rng.choice(list(scales))))
    crop_w, crop_h = (want if abs(side - want) < 3 else side for want in size)
    step_x, step_y = (width - crop_w) // 4, (height - crop_h) // 4
    x, y = CROP_PLACES[rng.integers(len(CROP_PLACES))]
    box = (x * step_x, y * step_y, x * step_x + crop_w, y * step_y + crop_h)
    return lambda frame: _resized(frame, box, size)


def _resized(
    frame: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int]
) -> np.ndarray:
    """Cut `box` out of a frame (H, W, 2 or 3) and resize it to `size` (width, height)."""
    if frame.shape[2] == 2:  # Pillow would take these for brightness and transparency
        parts = [_resized(part[..., None], box, size) for part in np.moveaxis(frame, 2, 0)]
        return np.stack(parts, axis=-1)
    image = Image.fromarray(frame.squeeze()).crop(box)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


# Quarters of the free room, across and down: corners, edges, the centre and between them.
CROP_PLACES = [(x, y) for x in (0, 2, 4) for y in (0, 2, 4)]
CROP_PLACES += [(x, y) for x in (1, 3) for y in (1, 3)]


def normalise(batch: Batch, spec: Any) -> Tensor | tuple[Tensor, ...]:
    """Map a batch of clips to the network's input, float32; of two streams to a pair.

    3d: (N, C, T, H, W); 2d: (N, C * T, H, W), all red frames first, then green, then blue, and of
    flow all u, then all v. A mirrored clip's flow keeps its signs, as TAO has it.
    """
    inputs = tuple(
        _normalised(clips, batch.flips, stream, spec) for stream, clips in batch.streams.items()
    )
    return inputs if len(inputs) > 1 else inputs[0]


def _normalised(clips: Tensor, flips: Tensor, stream: str, spec: Any) -> Tensor:
    last = precision.uses_channels_last(spec, clips.device)
    if clips.device.type != "cpu" or flips.any():  # to ask a GPU is to wait for it
        clips = torch.where(flips.view(-1, 1, 1, 1, 1), clips.flip(3), clips)
    clips = clips.permute(0, 4, 1, 2, 3)
    augmentation = spec.dataset.augmentation_config
    # A CPU does the rest in long runs, not three numbers at a time, if these lie as the clips will.
    width = clips.shape[-1] if last and clips.device.type == "cpu" else 1
    mean, std = (
        _constant(tuple(augmentation[f"{stream}_input_{part}"]), clips.device, width)
        for part in ("mean", "std")
    )
    order = torch.preserve_format if last else torch.contiguous_format
    clips = clips.to(torch.float32, memory_format=order).div_(255).sub_(mean).div_(std)
    clips = clips.flatten(1, 2) if spec.model.input_type == "2d" else clips
    return precision.channels_last(clips) if last else clips


@cache
def _constant(values: tuple[float, ...], device: torch.device, width: int) -> Tensor:
    """Return a value for each channel, (C, 1, 1, width), the channels last in memory.

    It is made once, as each copy to a GPU would wait for it.
    """
    return torch.tensor(values, device=device).repeat(width, 1).t()[:, None, None]
