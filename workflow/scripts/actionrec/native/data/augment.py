"""Random changes of training clips beyond TAO's: drawn on the host, computed on the device.

Whatever is asked for comes down to a few numbers for each clip, which hold for all its frames: one
warp, three factors of colours, and one rectangle to erase. So all operations together read and
write a batch only a few times, and a CUDA graph can hold them.
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Columns of what is drawn for a clip: the warp (2 x 3, from the output's coordinates to the
# input's, both from -1 to 1), the factors, and the rectangle (left, top, right, bottom, 0 to 1).
WARP, BRIGHTNESS, CONTRAST, SATURATION, BOX = slice(0, 6), 6, 7, 8, slice(9, 13)
COLUMNS = 13
GREY = (0.299, 0.587, 0.114)  # the weights of red, green and blue in brightness (ITU-R BT.601)
# The strongest change of each operation of RandAugment, as in its paper.
MAX_ROTATION, MAX_SHEAR, MAX_SHIFT, MAX_FACTOR = math.radians(30), 0.3, 0.45, 0.9
OPERATIONS = ("rotate", "shear_x", "shear_y", "shift_x", "shift_y", *range(BRIGHTNESS, 9))


def is_used(settings: Any) -> bool:
    """Tell whether the section native.augmentation asks for anything to be drawn for a batch."""
    keys = ("color_jitter", "random_resized_crop", "random_erasing", "rand_augment")
    return any(settings[key] for key in keys)


def draw(settings: Any, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw what native.augmentation asks for, for `count` clips: (count, COLUMNS), float32."""
    return np.stack([_draw_clip(settings, rng) for _ in range(count)]).astype(np.float32)


def _draw_clip(settings: Any, rng: np.random.Generator) -> np.ndarray:
    numbers, warp = np.zeros(COLUMNS), np.eye(3)
    numbers[BRIGHTNESS : SATURATION + 1] = 1
    if settings.color_jitter:
        share = settings.color_jitter
        numbers[BRIGHTNESS : SATURATION + 1] = rng.uniform(1 - share, 1 + share, 3)
    if settings.random_resized_crop:
        warp = _draw_crop(settings.random_resized_crop, rng)
    for operation in rng.choice(len(OPERATIONS), settings.rand_augment):
        strength = settings.rand_augment_magnitude * rng.choice([-1, 1])
        name = OPERATIONS[operation]
        if isinstance(name, int):
            numbers[name] *= 1 + MAX_FACTOR * strength
        else:
            warp = warp @ _warp(name, strength)
    numbers[WARP] = warp[:2].ravel()
    if rng.random() < settings.random_erasing:
        numbers[BOX] = _draw_box(rng)
    return numbers


def _draw_crop(least: float, rng: np.random.Generator) -> np.ndarray:
    """Return the warp to a random part of at least the share `least` of the area.

    Szegedy et al., "Going Deeper with Convolutions", 2015.
    """
    aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
    area = rng.uniform(least, 1)
    width, height = (min(1.0, math.sqrt(area * factor)) for factor in (aspect, 1 / aspect))
    x, y = (rng.uniform(size - 1, 1 - size) for size in (width, height))
    return np.array([[width, 0, x], [0, height, y], [0, 0, 1]])


def _warp(name: str, strength: float) -> np.ndarray:
    """Return the 3 x 3 matrix of an operation on places."""
    warp = np.eye(3)
    if name == "rotate":
        angle = MAX_ROTATION * strength
        warp[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    elif name == "shear_x":
        warp[0, 1] = MAX_SHEAR * strength
    elif name == "shear_y":
        warp[1, 0] = MAX_SHEAR * strength
    else:
        warp[0 if name == "shift_x" else 1, 2] = 2 * MAX_SHIFT * strength  # the frame is 2 wide
    return warp


def _draw_box(rng: np.random.Generator) -> tuple[float, float, float, float]:
    aspect = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
    area = rng.uniform(0.02, 0.2)
    width, height = (min(1.0, math.sqrt(area * factor)) for factor in (aspect, 1 / aspect))
    left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    return left, top, left + width, top + height


def warp_and_colour(clips: Tensor, drawn: Tensor, settings: Any) -> Tensor:
    """Return clips (N, C, T, H, W) of values from 0 to 1, warped and, of RGB, recoloured.

    What lies outside a frame repeats its border.
    """
    if settings.random_resized_crop or settings.rand_augment:
        # All frames of a clip are warped alike, so they pass as channels of one image.
        images = clips.flatten(1, 2)
        grid = F.affine_grid(drawn[:, WARP].view(-1, 2, 3), list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        clips = images.view(clips.shape)
    if clips.shape[1] == 3 and (settings.color_jitter or settings.rand_augment):
        clips = _recolour(clips, drawn)
    return clips


def _recolour(clips: Tensor, drawn: Tensor) -> Tensor:
    brightness, contrast, saturation = (
        drawn[:, column].view(-1, 1, 1, 1, 1) for column in (BRIGHTNESS, CONTRAST, SATURATION)
    )
    clips = (clips * brightness).clamp_(0, 1)
    mean = _grey(clips).mean(dim=(1, 2, 3, 4), keepdim=True)
    clips = torch.lerp(mean, clips, contrast).clamp_(0, 1)
    return torch.lerp(_grey(clips), clips, saturation).clamp_(0, 1)


def _grey(clips: Tensor) -> Tensor:
    """Return the brightness of RGB clips, (N, 1, T, H, W)."""
    red, green, blue = clips.split(1, dim=1)
    return red * GREY[0] + green * GREY[1] + blue * GREY[2]


def erase(clips: Tensor, drawn: Tensor, settings: Any) -> Tensor:
    """Return normalised clips (N, C, T, H, W) with zeros, the mean, in each clip's rectangle."""
    if not settings.random_erasing:
        return clips
    height, width = clips.shape[-2:]
    left, top, right, bottom = drawn[:, BOX].view(-1, 4, 1, 1).unbind(1)
    x = torch.linspace(0, 1, width, device=clips.device).view(1, 1, -1)
    y = torch.linspace(0, 1, height, device=clips.device).view(1, -1, 1)
    erased = (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return clips.masked_fill(erased[:, None, None], 0)
