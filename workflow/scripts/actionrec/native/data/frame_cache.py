"""The prepared frames of videos: decoded, resized and kept as long as they are needed."""

import math
from collections.abc import Sequence

import numpy as np

from actionrec.native.data import image_io
from actionrec.native.data.frame_memory import Memory
from actionrec.native.data.videos import Video

CHANNELS = {"rgb": 3, "of": 2}


class FrameReader:
    """Gives one stream of videos, resized to `sizes`, and keeps what `memory` has room for.

    If as many frames as a video has will be drawn of it (`draws`), all are read with the first:
    it costs no more, and no epoch waits but one.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        stream: str,
        sizes: Sequence[tuple[int, int]],
        memory: Memory,
        *,
        draws: int = 0,
    ) -> None:
        self._videos, self._stream, self._sizes = videos, stream, sizes
        self._memory, self._draws = memory, draws
        self._pixels: list[np.ndarray | None] = [None] * len(videos)
        self._ready = [np.zeros(len(video.images(stream)), bool) for video in videos]
        self._complete = [False] * len(videos)

    def read(self, number: int, ids: np.ndarray) -> list[np.ndarray]:
        """Return the frames `ids` of a video, each (H, W, 3) RGB or (H, W, 2) flow, uint8."""
        pixels = self._pixels[number]
        if not self._complete[number]:
            pixels = self._room(number)
            if pixels is not None:
                self._fill(number, pixels, ids)
        if pixels is None:
            frames = {i: self._decode(number, i) for i in np.unique(ids)}
            return [frames[i] for i in ids]
        return [pixels[i] for i in ids]

    def held(self, number: int) -> np.ndarray | None:
        """Return all frames of a video, (N, H, W, channels), if they are kept."""
        return self._pixels[number] if self._complete[number] else None

    def forget(self, number: int) -> None:
        """Free the memory of a video's frames."""
        pixels, self._pixels[number] = self._pixels[number], None
        self._complete[number] = False
        self._ready[number][:] = False
        if pixels is not None:
            self._memory.give_back(pixels)

    @property
    def nbytes(self) -> int:
        """The bytes of all frames of all videos."""
        return sum(map(math.prod, map(self._shape, range(len(self._videos)))))

    def _shape(self, number: int) -> tuple[int, int, int, int]:
        width, height = self._sizes[number]
        return len(self._ready[number]), height, width, CHANNELS[self._stream]

    def _room(self, number: int) -> np.ndarray | None:
        """Return where a video's frames are kept, if there is room."""
        if self._pixels[number] is None:
            self._pixels[number] = self._memory.take(self._shape(number))
        return self._pixels[number]

    def _fill(self, number: int, pixels: np.ndarray, ids: np.ndarray) -> None:
        ready = self._ready[number]
        wanted = np.arange(len(ready)) if self._draws >= len(ready) else np.unique(ids)
        for i in wanted[~ready[wanted]]:
            pixels[i] = self._decode(number, i)
            ready[i] = True
        self._complete[number] = bool(ready.all())

    def _decode(self, number: int, index: int) -> np.ndarray:
        video, size = self._videos[number], self._sizes[number]
        name = video.images(self._stream)[index]
        if self._stream == "rgb":
            return image_io.read_image(video.folder / "rgb" / name, size, "RGB")
        parts = (video.folder / part / name for part in ("u", "v"))
        return np.stack([image_io.read_image(path, size, "L") for path in parts], axis=-1)
