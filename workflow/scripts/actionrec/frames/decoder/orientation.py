"""Which way up a frame is shown: the display matrix that cameras write with the picture."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame

_NAMES = {
    (False, False, False): "",
    (False, True, False): "mirrored",
    (False, True, True): "rotated by 180°",
    (False, False, True): "mirrored, rotated by 180°",
    (True, True, False): "rotated by 90° clockwise",
    (True, False, True): "rotated by 90° counterclockwise",
    (True, False, False): "mirrored, rotated by 90° counterclockwise",
    (True, True, True): "mirrored, rotated by 90° clockwise",
}

_side_data: Any = SideDataContainer  # its stub lacks the argument
_FLIPS = {(True, False): 1, (False, True): 0, (True, True): -1}  # OpenCV's codes


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to show a frame: transpose it, swap left and right, top and bottom."""

    transposed: bool = False
    left_right: bool = False
    top_bottom: bool = False

    def __str__(self) -> str:
        return _NAMES[self.transposed, self.left_right, self.top_bottom]

    @property
    def mirrored(self) -> bool:
        """Tell whether the stored picture is a mirror image of the shown one."""
        return (self.transposed + self.left_right + self.top_bottom) % 2 == 1

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return a (height, width, channels) uint8 image as it is to be shown."""
        if self.transposed:
            image = cv2.transpose(image)
        if self.left_right or self.top_bottom:
            image = cv2.flip(image, _FLIPS[self.left_right, self.top_bottom])
        return image


def orientation_of(frame: VideoFrame) -> Orientation:
    """Return how a decoded frame is to be shown.

    The matrix maps a stored point (x, y) to (ax + cy, bx + dy); an angle between the eight is
    taken for the nearest of them.
    """
    try:
        # Not frame.side_data: these two keep each other, and with them the picture, until Python's
        # garbage collector runs, by then for hundreds of frames.
        data = _side_data(frame).get("DISPLAYMATRIX")
    except ValueError:  # a kind of side data that PyAV does not know, next to which it reads none
        return _turned(frame.rotation)
    if data is None:
        return Orientation()
    a, b, _, c, d, *_ = memoryview(bytes(data)).cast("i")
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def _turned(counterclockwise: int) -> Orientation:
    quarters = round(counterclockwise / 90) % 4
    return Orientation(quarters % 2 == 1, quarters in (2, 3), quarters in (1, 2))
