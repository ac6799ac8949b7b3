"""What happens to frames between the file and the network (TAO 7.3's transforms).

A prepared frame is read and resized with Pillow, so that pixels equal TAO's. Clips stay uint8,
(T, H, W, 3) of frames or (T, H, W, 2) of optical flow, until a batch is on its device.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from actionrec.errors import InputError


def prepared_size(size: tuple[int, int], spec: Any, *, training: bool) -> tuple[int, int]:
    """Return the (width, height) that a frame of `size` is resized to before any crop.

    As in TAO, the multi-scale crops of a joint network are cut out of frames as they are.
    """
    augmentation = spec.dataset.augmentation_config
    cropped = augmentation.val_center_crop
    if training:
        cropped = augmentation.train_crop_type != "no_crop"
        if spec.model.model_type == "joint" and augmentation.train_crop_type == "multi_scale_crop":
            return size
    if not cropped:
        return spec.model.input_width, spec.model.input_height
    width, height = size
    edge = augmentation.crop_smaller_edge
    if width <= height:
        return edge, int(edge * height / width)
    return int(edge * width / height), edge


def read_frame(path: Path, size: tuple[int, int], mode: str = "RGB") -> np.ndarray:
    """Read an image, resized bilinearly to `size` (width, height), uint8.

    `mode` "RGB" gives (H, W, 3), "L", which is grey, (H, W). Raises `InputError` that names the
    file if it is damaged or of another mode.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
            refuse_mode(image, path, mode)
            return np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            "A frame cannot be read: the file is missing, damaged or no image.",
            where=path,
            found=error,
            fix=f"extract the video's {_KIND[mode]} again",
        ) from error


_KIND = {"RGB": "frames", "L": "flow"}


def refuse_mode(image: Image.Image, path: Path, mode: str) -> None:
    """Raise `InputError` unless `image` is a frame ("RGB") or a part of flow ("L", grey)."""
    if image.mode == mode:
        return
    if mode == "RGB":
        problem = "A frame of the rgb folder is not an RGB image."
        fix = "extract the video's frames again, as colour images without transparency"
    else:
        problem = "An image of optical flow is not grey."
        fix = "extract the video's flow again, as grey images of 8 bits"
    raise InputError(problem, where=path, found=f"mode {image.mode}", allowed=[mode], fix=fix)


def augment(clip: np.ndarray, spec: Any, rng: np.random.Generator) -> np.ndarray:
    """Crop and flip a training clip (T, H, W, channels), all frames alike, at random."""
    return augment_alike((clip,), spec, rng)[0]


def augment_alike(
    clips: Sequence[np.ndarray], spec: Any, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Crop and flip the streams of a training clip, (T, H, W, channels) each, all alike.

    A flipped clip's flow is mirrored as an image and keeps its signs, as TAO has it.
    """
    augmentation = spec.dataset.augmentation_config
    size = (spec.model.input_width, spec.model.input_height)
    height, width = clips[0].shape[1:3]
    if augmentation.train_crop_type == "random_crop":
        crop = _random_crop((width, height), size, rng)
        clips = [crop(clip) for clip in clips]
    elif augmentation.train_crop_type == "multi_scale_crop":
        crop = _multi_scale_crop((width, height), size, augmentation.scales, rng)
        clips = [crop(clip) for clip in clips]
    if rng.random() < augmentation.horizontal_flip_prob:
        clips = [clip[:, :, ::-1] for clip in clips]
    return tuple(clips)


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


Crop = Callable[[np.ndarray], np.ndarray]


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
    return lambda clip: clip[:, top : top + height, left : left + width]


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
    return lambda clip: np.stack([_resized(frame, box, size) for frame in clip])


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


def normalise(clips: Any, spec: Any) -> Any:
    """Map uint8 clips (N, T, H, W, C) of frames (C = 3) or flow (C = 2) to the network's input.

    float32; 3d: (N, C, T, H, W); 2d: (N, C * T, H, W), all red frames first, then green, then
    blue, and of flow all u, then all v. A `data.Pair` gives the tuple of both.
    """
    if not isinstance(clips, Tensor):
        return normalise(clips.rgb, spec), normalise(clips.of, spec)
    augmentation = spec.dataset.augmentation_config
    mean, std = augmentation.rgb_input_mean, augmentation.rgb_input_std
    if clips.shape[-1] == 2:
        mean, std = augmentation.of_input_mean, augmentation.of_input_std
    mean, std = (
        torch.tensor(list(values), device=clips.device).view(1, -1, 1, 1, 1)
        for values in (mean, std)
    )
    batch = clips.permute(0, 4, 1, 2, 3).to(torch.float32, memory_format=torch.contiguous_format)
    batch.div_(255).sub_(mean).div_(std)
    return batch.flatten(1, 2) if spec.model.input_type == "2d" else batch
