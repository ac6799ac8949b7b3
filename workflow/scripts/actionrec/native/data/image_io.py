"""Images of frames and of optical flow, read from files.

kornia decodes PNG and OpenCV the rest, which is faster than Pillow. Pillow resizes. The pixels are
those of TAO, which uses Pillow for both.
"""

import threading
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import cv2
import kornia_rs.io
import numpy as np
from PIL import Image

from actionrec.errors import InputError
from actionrec.native.data import reading

CV2_FLAGS = {"RGB": cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION, "L": cv2.IMREAD_GRAYSCALE}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_TYPES = {"RGB": b"\x08\x02", "L": b"\x08\x00"}  # bits a channel and colour type, at byte 24
KORNIA_MODES = {"RGB": "rgb", "L": "mono"}
KORNIA_MAX_PIXELS = 2**24  # kornia allocates what the header claims before it reads the data
KORNIA_MAX_THREADS = 8
CONTENTS = {"RGB": "frames", "L": "flow"}


def read_image(path: Path, size: tuple[int, int], mode: str = "RGB") -> np.ndarray:
    """Read an image, resized bilinearly to `size` (width, height), uint8.

    The shape is (H, W, 3) for `mode` "RGB" and (H, W) for "L" (grey). Raises `InputError` with the
    file's name if it is damaged or of another mode.
    """
    reading.note(path)
    try:
        data = path.read_bytes()
        if data.startswith(PNG_SIGNATURE) and data[24:26] == PNG_TYPES[mode]:
            pixels = _decode_png(data, mode)
        else:
            # OpenCV would convert an image of another mode without a word.
            with Image.open(BytesIO(data), formats=("PNG", "JPEG", "BMP")) as image:
                check_mode(image, path, mode)
            pixels = _decode(data, mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, cv2.error) as error:
        raise InputError(
            "A frame cannot be read: the file is missing, damaged or no image.",
            where=path,
            found=error,
            fix=f"extract the video's {CONTENTS[mode]} again",
        ) from error
    return resized(pixels, size)


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (H, W, 3) or (H, W) pixels, uint8, resized bilinearly to `size` (width, height)."""
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def _decode(data: bytes, mode: str) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), CV2_FLAGS[mode])
    if pixels is None:
        raise ValueError("it ends too early, or a checksum is wrong")
    return pixels


def _decode_png(data: bytes, mode: str) -> np.ndarray:
    """Decode a PNG by kornia, in two fifths of OpenCV's time.

    kornia holds Python's global lock, so with many threads OpenCV is faster. A file that kornia
    refuses is decoded by OpenCV, or refused by it, too.
    """
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if width * height <= KORNIA_MAX_PIXELS and threading.active_count() <= KORNIA_MAX_THREADS:
        with suppress(Exception):  # kornia raises nothing narrower
            pixels = kornia_rs.io.decode_image_png_u8(data, (height, width), KORNIA_MODES[mode])
            return pixels[..., 0] if mode == "L" else pixels
    return _decode(data, mode)


def check_mode(image: Image.Image, path: Path, mode: str) -> None:
    """Raise `InputError` unless `image` is a frame ("RGB") or a component of flow ("L", grey)."""
    if image.mode == mode:
        return
    if mode == "RGB":
        problem = "A frame of the rgb folder is not an RGB image."
        fix = "extract the video's frames again, as colour images without transparency"
    else:
        problem = "An image of optical flow is not grey."
        fix = "extract the video's flow again, as grey images of 8 bits"
    raise InputError(problem, where=path, found=f"mode {image.mode}", allowed=mode, fix=fix)
