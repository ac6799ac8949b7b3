"""The prepared frames of videos: decoded, resized and kept in memory as long as they are needed."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actionrec.native import images
from actionrec.native.videos import Video

CHANNELS = {"rgb": 3, "of": 2}
CGROUP = Path("/sys/fs/cgroup")
LIMITS = (CGROUP / "memory.max", CGROUP / "memory" / "memory.limit_in_bytes")


class Memory:
    """Bytes that frames may take up; safe to use from several threads."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take `size` bytes, or tell that there is no room for them."""
        with self._lock:
            fits = size <= self._free
            self._free -= size * fits
        return fits

    def give_back(self, size: int) -> None:
        """Return bytes that were taken."""
        with self._lock:
            self._free += size


def spare_memory() -> int:
    """Return how many bytes a process may take and leave room for others: half of what is free."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    limits = [file.read_text(encoding="ascii").strip() for file in LIMITS if file.exists()]
    return min([int(kibibytes) * 1024, *map(int, filter(str.isdigit, limits))]) // 2


class FrameReader:
    """Gives one stream of videos, resized to `sizes`, and remembers what there is memory for.

    If as many frames as a video has will be drawn of it (`draws`), all are read with the first:
    it costs no more, and no epoch waits but one. Safe to use from several threads.
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
        self._locks = [threading.Lock() for _ in videos]
        self._pixels: list[np.ndarray | None] = [None] * len(videos)
        self._ready = [np.zeros(len(video.images(stream)), bool) for video in videos]
        self._complete = [False] * len(videos)

    def read(self, number: int, ids: np.ndarray) -> list[np.ndarray]:
        """Return the frames `ids` of a video, each (H, W, 3) RGB or (H, W, 2) flow, uint8."""
        pixels = self._pixels[number]
        if not self._complete[number]:
            with self._locks[number]:
                pixels = self._room(number)
                if pixels is not None:
                    self._fill(number, pixels, ids)
        if pixels is None:
            frames = {i: self._decode(number, i) for i in np.unique(ids)}
            return [frames[i] for i in ids]
        return [pixels[i] for i in ids]

    def held(self, number: int) -> np.ndarray | None:
        """Return all frames of a video, (N, H, W, channels), if they are in memory."""
        return self._pixels[number] if self._complete[number] else None

    def forget(self, number: int) -> None:
        """Free the memory of a video's frames."""
        with self._locks[number]:
            pixels, self._pixels[number] = self._pixels[number], None
            self._complete[number] = False
            self._ready[number][:] = False
        if pixels is not None:
            self._memory.give_back(pixels.nbytes)

    def _room(self, number: int) -> np.ndarray | None:
        """Return the memory of a video's frames, if there is any."""
        if self._pixels[number] is None:
            width, height = self._sizes[number]
            shape = (len(self._ready[number]), height, width, CHANNELS[self._stream])
            if self._memory.take(int(np.prod(shape))):
                self._pixels[number] = np.empty(shape, np.uint8)
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
            return images.read_image(video.folder / "rgb" / name, size, "RGB")
        parts = (video.folder / part / name for part in ("u", "v"))
        return np.stack([images.read_image(path, size, "L") for path in parts], axis=-1)
