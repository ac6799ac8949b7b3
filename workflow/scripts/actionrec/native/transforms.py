"""What happens to frames between the file and the network (TAO 7.3's transforms).

A prepared frame is read and resized with Pillow, so that pixels equal TAO's. Clips stay uint8,
(T, H, W, 3), until a batch is on its device.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from actionrec.errors import InputError


def prepared_size(size: tuple[int, int], spec: Any, *, training: bool) -> tuple[int, int]:
    """Return the (width, height) that a frame of `size` is resized to before any crop."""
    augmentation = spec.dataset.augmentation_config
    cropped = augmentation.val_center_crop
    if training:
        cropped = augmentation.train_crop_type != "no_crop"
    if not cropped:
        return spec.model.input_width, spec.model.input_height
    width, height = size
    edge = augmentation.crop_smaller_edge
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


def read_frame(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read an image, resized bilinearly to `size` (width, height): (H, W, 3) RGB uint8.

    Raises `InputError` that names the file if it is damaged or not RGB.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
            refuse_mode(image, path)
            return np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            "A frame cannot be read: the file is missing, damaged or no image.",
            where=path,
            found=error,
            fix="extract the video's frames again",
        ) from error


def refuse_mode(image: Image.Image, path: Path) -> None:
    """Raise `InputError` unless `image` has three colour channels."""
    if image.mode != "RGB":
        raise InputError(
            "A frame of the rgb folder is not an RGB image.",
            where=path,
            found=f"mode {image.mode}",
            allowed=["RGB"],
            fix="extract the video's frames again, as colour images without transparency",
        )


def augment(clip: np.ndarray, spec: Any, rng: np.random.Generator) -> np.ndarray:
    """Crop and flip a training clip (T, H, W, 3), all frames alike, at random."""
    augmentation = spec.dataset.augmentation_config
    size = (spec.model.input_width, spec.model.input_height)
    if augmentation.train_crop_type == "random_crop":
        clip = _random_crop(clip, size, rng)
    elif augmentation.train_crop_type == "multi_scale_crop":
        clip = _multi_scale_crop(clip, size, augmentation.scales, rng)
    if rng.random() < augmentation.horizontal_flip_prob:
        clip = clip[:, :, ::-1]
    return clip


def centre_crop(clip: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut `size` (width, height) out of the middle of a clip, with black where it is smaller."""
    width, height = size
    short = [
        max(0, want - have) for want, have in zip((height, width), clip.shape[1:3], strict=True)
    ]
    if any(short):
        sides = [(0, 0), *((s // 2, (s + 1) // 2) for s in short), (0, 0)]
        clip = np.pad(clip, sides)
    top = round((clip.shape[1] - height) / 2)
    left = round((clip.shape[2] - width) / 2)
    return clip[:, top : top + height, left : left + width]


def _random_crop(clip: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    width, height = size
    room_y, room_x = clip.shape[1] - height, clip.shape[2] - width
    if min(room_x, room_y) < 0:
        raise InputError(
            "Frames are too small for the random crop.",
            where="spec: dataset.augmentation_config.crop_smaller_edge",
            found=f"frames resized to {clip.shape[2]}x{clip.shape[1]}, crop {width}x{height}",
            fix="raise crop_smaller_edge, or lower model.input_width and model.input_height",
        )
    left, top = rng.integers(room_x + 1), rng.integers(room_y + 1)
    return clip[:, top : top + height, left : left + width]


def _multi_scale_crop(
    clip: np.ndarray, size: tuple[int, int], scales: list[float], rng: np.random.Generator
) -> np.ndarray:
    """Cut a square of a random scale at one of 13 fixed places, and resize it.

    Wang et al., "Temporal Segment Networks", 2016, without their distortion of the aspect ratio,
    as TAO calls it. A side that comes within two pixels of the input's is the input's.
    """
    height, width = clip.shape[1:3]
    side = int(min(width, height) * float(rng.choice(list(scales))))
    crop_w, crop_h = (want if abs(side - want) < 3 else side for want in size)
    step_x, step_y = (width - crop_w) // 4, (height - crop_h) // 4
    x, y = CROP_PLACES[rng.integers(len(CROP_PLACES))]
    box = (x * step_x, y * step_y, x * step_x + crop_w, y * step_y + crop_h)
    images = (Image.fromarray(frame).crop(box) for frame in clip)
    return np.stack([np.asarray(i.resize(size, Image.Resampling.BILINEAR)) for i in images])


# Quarters of the free room, across and down: corners, edges, the centre and between them.
CROP_PLACES = [(x, y) for x in (0, 2, 4) for y in (0, 2, 4)]
CROP_PLACES += [(x, y) for x in (1, 3) for y in (1, 3)]


@cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return a tensor that is copied to its device once: each copy would wait for the GPU."""
    return torch.tensor(values, device=device)


def normalise(clips: Tensor, spec: Any) -> Tensor:
    """Map clips (N, T, H, W, 3) uint8 to the network's input, float32.

    3d: (N, 3, T, H, W); 2d: (N, 3 * T, H, W), all red frames first, then green, then blue.
    """
    augmentation = spec.dataset.augmentation_config
    mean, std = (
        _constant(tuple(values), clips.device).view(1, -1, 1, 1, 1)
        for values in (augmentation.rgb_input_mean, augmentation.rgb_input_std)
    )
    batch = clips.permute(0, 4, 1, 2, 3).to(torch.float32, memory_format=torch.contiguous_format)
    batch.div_(255).sub_(mean).div_(std)
    return batch.flatten(1, 2) if spec.model.input_type == "2d" else batch
