"""Pictures of what a network saw: its frames next to each other, and where it looked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actionrec.errors import InputError
from actionrec.frames.store import open_frames
from actionrec.utils.pages import jpeg_url

if TYPE_CHECKING:
    from PIL.Image import Image

FRAMES = 8  # of a clip; a longer one shows as many, evenly spread
HEIGHT = 72  # pixels of a frame
HEAT = np.array([255, 122, 26])  # orange, which shows on grey

Entry = Mapping[str, Any]  # a video of explanations.json


@dataclass(frozen=True)
class Neighbour:
    """A training video that looks alike to the network; the picture may be ""."""

    video: str
    label: str
    similarity: float
    picture: str


@dataclass(frozen=True)
class Filmstrip:
    """A test video with what was predicted, and its pictures as data URLs by stream.

    `activations` are the same frames with the parts marked that speak for the prediction.
    """

    entry: Entry
    shown: int
    frames: int
    pictures: Mapping[str, str]
    activations: Mapping[str, str]
    neighbours: Sequence[Neighbour]

    @property
    def size(self) -> int:
        """Return how many bytes its pictures add to a page."""
        own = [*self.pictures.values(), *self.activations.values()]
        return sum(map(len, [*own, *(n.picture for n in self.neighbours)]))


def filmstrip(entry: Entry, data: Path) -> Filmstrip:
    """Return the pictures of a video; `data` is the run's tree of links to frames.

    Frames that are not there any more are left out.
    """
    folder = data / "test" / entry["label"] / entry["video"]
    pictures, activations, shown, number = {}, {}, 0, 0
    for stream, ids in entry["frames"].items():
        positions = _spread(len(ids), FRAMES)
        drawn = _frames(folder, stream, [ids[position] for position in positions], entry)
        if drawn:
            pictures[stream] = _sheet(drawn)
            shown, number = len(drawn), len(ids)
            if heat := entry.get("activation", {}).get(stream):
                maps = np.asarray(heat, np.uint8)
                times = [position * len(maps) // len(ids) for position in positions]
                activations[stream] = _sheet(
                    [_marked(i, maps[t]) for i, t in zip(drawn, times, strict=True)]
                )
    neighbours = [_neighbour(found, data, entry) for found in entry.get("nearest", ())]
    return Filmstrip(entry, shown, number, pictures, activations, neighbours)


def _spread(number: int, most: int) -> list[int]:
    """Return the positions of up to `most` of `number` things, evenly spread."""
    shown = min(number, most)
    return [(2 * index + 1) * number // (2 * shown) for index in range(shown)]


def _frames(folder: Path, stream: str, ids: Sequence[int], entry: Entry) -> "list[Image]":
    """Return frames as the network saw them, resized and cropped, but in thumbnail size.

    Without one of them there are none.
    """
    try:
        if stream == "of":
            found = {number: _flow_frame(folder, number) for number in ids}
        else:
            read = open_frames(folder / "rgb").read(ids)
            found = {number: _rgb_image(pixels) for number, pixels in read}
    except (OSError, IndexError, InputError):
        return []
    return [_thumbnail(found[number], entry) for number in ids]


def _rgb_image(pixels: np.ndarray) -> "Image":
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))


def _flow_frame(folder: Path, number: int) -> "Image":
    from PIL import Image

    u, v = (Image.open(_nth(folder / part, number)).convert("L") for part in ("u", "v"))
    return _flow_image(u, v)


def _thumbnail(image: "Image", entry: Entry) -> "Image":
    from PIL import Image

    (width, height), (crop_w, crop_h) = entry["resized"], entry["input"]
    # The centre crop, in the pixels of the stored frame: the network's is taken after resizing.
    keep_w, keep_h = image.width * crop_w / width, image.height * crop_h / height
    left, top = (image.width - keep_w) / 2, (image.height - keep_h) / 2
    size = max(1, round(HEIGHT * crop_w / crop_h)), HEIGHT
    box = tuple(round(side) for side in (left, top, left + keep_w, top + keep_h))
    return image.crop(box).resize(size, Image.Resampling.BILINEAR)


def _nth(folder: Path, number: int) -> Path:
    return sorted(folder.iterdir())[number]


def _flow_image(u: "Image", v: "Image") -> "Image":
    """Return flow in colours: the hue is the direction, the brightness the speed."""
    from PIL import Image

    x, y = (np.asarray(part, np.float32) - 128 for part in (u, v))
    hue = (np.arctan2(y, x) + np.pi) * 255 / (2 * np.pi)
    speed = np.clip(np.hypot(x, y) * 4, 0, 255)
    hsv = np.stack([hue, np.full_like(hue, 230), speed], axis=-1).astype(np.uint8)
    return Image.fromarray(hsv, "HSV").convert("RGB")


def _marked(image: "Image", heat: np.ndarray) -> "Image":
    """Return a grey copy of a frame on which `heat` (h, w), uint8, glows."""
    from PIL import Image

    scaled = Image.fromarray(heat).resize(image.size, Image.Resampling.BICUBIC)
    share = np.asarray(scaled, np.float32)[..., None] / 255
    grey = np.asarray(image.convert("L"), np.float32)[..., None] * 0.75
    return Image.fromarray((grey * (1 - 0.7 * share) + HEAT * 0.7 * share).astype(np.uint8))


def _sheet(images: Sequence["Image"]) -> str:
    """Return images next to each other, with a gap of two pixels, as a data URL."""
    from PIL import Image

    width = images[0].width + 2
    sheet = Image.new("RGB", (width * len(images) - 2, images[0].height), (128, 128, 128))
    for index, image in enumerate(images):
        sheet.paste(image, (index * width, 0))
    return jpeg_url(sheet)


def _neighbour(found: Mapping[str, Any], data: Path, entry: Entry) -> Neighbour:
    folder = data / "train" / found["label"] / found["video"]
    try:
        middle = open_frames(folder / "rgb").count // 2
    except InputError:
        middle = 0
    shown = _frames(folder, "rgb", [middle], entry)
    picture = jpeg_url(shown[0]) if shown else ""
    return Neighbour(found["video"], found["label"], found["similarity"], picture)
