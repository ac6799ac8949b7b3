"""From frames to the network's input: the pixels that training and evaluation saw.

A frame is a (height, width, 3) uint8 array in OpenCV's order, blue, green, red.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
from PIL import Image

from actionrec.deploy.model_card import Input, ModelCard
from actionrec.errors import InputError
from actionrec.frames import flow
from actionrec.frames.encoders import ImageFormat, resize
from actionrec.frames.segments import Crop
from actionrec.native.data import crops

Clip = dict[str, np.ndarray]  # the network's inputs by name, each without the batch


class Preparation:
    """Prepares frames as a model card says."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self._stored_as = _image_format(card.stored_as)
        size = (card.resize.width, card.resize.height)
        self._stretch = card.resize.rule == "stretch"
        self._crop = crops.no_crop if self._stretch else crops.centre_crop(size)
        self._flow = _flow_of(card) if card.needs_flow else None
        self._size_of_all: tuple[int, int] | None = None

    def for_pictures(self, width: int, height: int) -> "Preparation":
        """Return a preparation that resizes all pictures to the size that such a first one gets.

        Boxes that follow a person vary in size, and the network sees the clip in one.
        """
        other = copy.copy(self)
        other._size_of_all = self.resized(*(self._stored_as.size or (width, height)))
        return other

    def rgb(self, frame: np.ndarray) -> np.ndarray:
        """Return a frame as (H, W, 3), red, green, blue, uint8."""
        pixels = cv2.cvtColor(self.stored(frame), cv2.COLOR_BGR2RGB)
        return self.fit(pixels)

    def optical_flow(
        self, frame: np.ndarray, following: np.ndarray, crop: Crop | None = None
    ) -> np.ndarray:
        """Return the motion from a frame to the next one as (H, W, 2), u and v, uint8.

        That within a `crop` is computed from the whole frames, as they were decoded, and cropped.
        """
        if self._flow is None:
            raise TypeError("this network sees no optical flow")
        method, mapping = self._flow
        first, second = (
            cv2.cvtColor(image if crop else self.stored(image), cv2.COLOR_BGR2GRAY)
            for image in (frame, following)
        )
        u_and_v = mapping(method(first, second))
        if crop:
            u_and_v = crop.of(u_and_v)
        # Through JPEG, as the network has seen all flow in training.
        return np.stack([self.fit(_through_jpeg(part)) for part in cv2.split(u_and_v)], axis=-1)

    def stored(self, frame: np.ndarray) -> np.ndarray:
        """Return a frame as it was read back from its file in training."""
        form = self._stored_as
        frame = resize(frame, form.size)
        if form.suffix != "jpg":
            return frame
        return _through_jpeg(frame, form.quality)

    def fit(self, pixels: np.ndarray) -> np.ndarray:
        """Resize and crop (height, width) or (height, width, 3) pixels to the network's size."""
        size = self._size_of_all or self.resized(pixels.shape[1], pixels.shape[0])
        if size != (pixels.shape[1], pixels.shape[0]):
            image = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
        if self._stretch:
            return pixels
        cropped = self._crop(pixels if pixels.ndim == 3 else pixels[..., None])
        return cropped if pixels.ndim == 3 else cropped[..., 0]

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) that a frame is resized to, before it may be cropped."""
        rule = self.card.resize
        if self._stretch or rule.shorter_edge is None:
            return rule.width, rule.height
        return crops.shorter_edge_size((width, height), rule.shorter_edge)

    def clip(self, streams: Mapping[str, Sequence[np.ndarray]]) -> Clip:
        """Return the network's inputs from the prepared frames of each stream."""
        return {part.name: normalised(streams[part.stream], part) for part in self.card.inputs}


def normalised(frames: Sequence[np.ndarray], part: Input) -> np.ndarray:
    """Return prepared frames as the input `part`, float32, without the batch.

    The operations are PyTorch's in their order, so that the last bit is the same.
    """
    clip = np.stack(frames).transpose(3, 0, 1, 2).astype(np.float32)
    channels = len(part.channels)
    mean, std = (
        np.broadcast_to(np.asarray(values, np.float32), channels)[:, None, None, None]
        for values in (part.mean, part.std)
    )
    clip /= np.float32(255)
    clip -= mean
    clip /= std
    return np.ascontiguousarray(clip.reshape(part.shape))


@dataclass
class Moment:
    """A frame of a video with its time, prepared for a stream when that is asked for, and once.

    `following` is the next frame, which optical flow needs. With a `crop`, a part of the frame is
    what counts.
    """

    preparation: Preparation
    time: float
    frame: np.ndarray
    following: np.ndarray | None = None
    crop: Crop | None = None

    @cached_property
    def rgb(self) -> np.ndarray:
        """Return the prepared frame."""
        return self.preparation.rgb(self.crop.of(self.frame) if self.crop else self.frame)

    @cached_property
    def of(self) -> np.ndarray:
        """Return the prepared motion to the next frame."""
        if self.following is None:
            raise TypeError("this moment has no next frame")
        return self.preparation.optical_flow(self.frame, self.following, self.crop)

    def prepare(self) -> None:
        """Prepare all streams, once, and forget the pixels, of which a window would hold many."""
        if not self.frame.size:
            return
        for stream in self.preparation.card.streams:
            getattr(self, stream)
        self.frame = self.following = np.empty(0, np.uint8)


def moments(
    preparation: Preparation, frames: Iterable[tuple[float, np.ndarray]]
) -> Iterator[Moment]:
    """Yield what clips are made of: frames, or for optical flow each frame that has a next one."""
    if not preparation.card.needs_flow:
        for time, frame in frames:
            yield Moment(preparation, time, frame)
        return
    for (time, frame), (_, following) in pairwise(frames):
        yield Moment(preparation, time, frame, following)


def _flow_of(card: ModelCard) -> tuple[flow.Method, flow.Conversion]:
    made = card.flow
    if made is None or made.method == "flo":
        raise InputError(
            "The optical flow of this model was read from files: it cannot be made of new videos.",
            where="model.json: flow.method",
            found=None if made is None else made.method,
            allowed=["dis", "farneback", "tvl1"],
            fix="train with one of these, in the configuration's flow.method",
        )
    settings = flow.FlowSettings(made.method, made.preset, made.mapping)
    return flow.make_method(settings), flow.MAPPINGS[made.mapping]


def _through_jpeg(image: np.ndarray, quality: int = flow.QUALITY) -> np.ndarray:
    code = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code[1], cv2.IMREAD_UNCHANGED))


def _image_format(stored_as: str) -> ImageFormat:
    """Return the format that the split's table names, such as `png`, `jpg 95` or `png 64x48`."""
    suffix, *rest = stored_as.split()
    size = tuple(map(int, rest.pop().split("x"))) if rest and "x" in rest[-1] else None
    quality = int(rest[0]) if rest else 0  # PNG has none
    return ImageFormat(suffix, "cv2", quality, size)  # type: ignore[arg-type]
