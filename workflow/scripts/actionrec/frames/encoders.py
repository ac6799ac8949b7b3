"""Turn a frame into the bytes of an image file, PNG or JPEG, in the size that was asked for."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFormat:
    """How frames are stored: `suffix` png or jpg, `encoder` of png fpng or cv2, `quality` of jpg.

    With the suffix "video" they stay in their video, and no images are written. `size` is the
    (width, height) that they are resized to, if any.
    """

    suffix: str
    encoder: str
    quality: int
    size: tuple[int, int] | None = None

    @property
    def cache_key(self) -> str:
        """Return what the pixels depend on: not on the encoder of a lossless format."""
        form = f"jpg {self.quality}" if self.suffix == "jpg" else self.suffix
        return f"{form} {self.size[0]}x{self.size[1]}" if self.size else form


def resize(frame: "np.ndarray", size: tuple[int, int] | None) -> "np.ndarray":
    """Return a (height, width, 3) uint8 frame in `size`, (width, height), as TAO's reader does."""
    if size is None or size == (frame.shape[1], frame.shape[0]):
        return frame
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))


def make_encoder(image_format: ImageFormat) -> "Callable[[np.ndarray], bytes | memoryview]":
    """Return the function that turns a (height, width, BGR) uint8 frame into a file's bytes."""
    import cv2

    cv2.setNumThreads(1)  # the processes are the parallelism
    is_jpg = image_format.suffix == "jpg"

    def by_opencv(frame: "np.ndarray") -> memoryview:
        options = [cv2.IMWRITE_JPEG_QUALITY, image_format.quality] if is_jpg else []
        return cv2.imencode(f".{image_format.suffix}", frame, options)[1].data

    if is_jpg or image_format.encoder == "cv2":
        return by_opencv
    try:
        import fpng
    except ImportError as error:
        log.warning("fpng cannot be loaded (%s): OpenCV writes the PNG files, slower", error)
        return by_opencv

    def by_fpng(frame: "np.ndarray") -> bytes | memoryview:
        try:
            return fpng.from_ndarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        except RuntimeError:
            return by_opencv(frame)

    return by_fpng
