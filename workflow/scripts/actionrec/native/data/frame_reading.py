"""Frames of a video, resized, from wherever they are stored."""

from collections.abc import Generator, Iterable
from contextlib import closing

import cv2
import numpy as np

from actionrec.frames.store import open_frames
from actionrec.native.data import image_io, reading
from actionrec.native.data.videos import Video


def read_frames(
    video: Video, stream: str, ids: Iterable[int], size: tuple[int, int]
) -> Generator[tuple[int, np.ndarray], None, None]:
    """Yield (index, frame) of the frames `ids` of a stream, each once and in any order.

    A frame is (H, W, 3) RGB or (H, W, 2) flow, uint8, resized bilinearly to `size` (width, height).
    A video file is open until the last frame, or until the generator is closed.
    Raises `InputError` for a damaged image, or a video that does not hold its frames any more.
    """
    if stream == "rgb" and video.decoded:
        stored = open_frames(video.folder / "rgb", reading.note)
        with closing(stored.read(ids)) as frames:
            for index, pixels in frames:
                yield index, image_io.resized(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), size)
        return
    names = video.images(stream)
    for index in ids:
        yield index, _read_images(video, stream, names[index], size)


def _read_images(video: Video, stream: str, name: str, size: tuple[int, int]) -> np.ndarray:
    if stream == "rgb":
        return image_io.read_image(video.folder / "rgb" / name, size, "RGB")
    u_and_v = [image_io.read_image(video.folder / part / name, size, "L") for part in ("u", "v")]
    return np.stack(u_and_v, axis=-1)
