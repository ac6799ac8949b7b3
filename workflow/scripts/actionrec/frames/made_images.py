"""What became of a video or segment: the sizes and times of its images, and their pixels' proof."""

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from actionrec.frames.store import checksum

if TYPE_CHECKING:
    import numpy as np


@dataclass
class MadeImages:
    """The largest and the first size of the images of a source, and each one's time and CRC-32.

    Times are microseconds. The digest is of the pixels: equal videos may be in different files.
    Images that were only listed have times and sizes alone.
    """

    width: int = 0
    height: int = 0
    first: tuple[int, int] = (0, 0)
    times: dict[int, int] = field(default_factory=dict)
    checksums: dict[int, int] = field(default_factory=dict)
    _digest: Any = field(default_factory=hashlib.sha256)

    def add(self, number: int, time: int, frame: "np.ndarray") -> None:
        """Take note of an image."""
        height, width = frame.shape[:2]
        self.note(number, time, (width, height))
        # Equal videos are to be found, not forgers: a checksum a frame costs a third of a hash.
        value = self.checksums[number] = checksum(frame)
        self._digest.update(f"{width}x{height} {value} ".encode())

    def note(self, number: int, time: int, size: tuple[int, int]) -> None:
        """Take note of an image whose pixels are not known, of (width, height)."""
        self.width, self.height = max(self.width, size[0]), max(self.height, size[1])
        if number == 1:
            self.first = size
        self.times[number] = time

    @property
    def content(self) -> str:
        """Return the SHA-256 of all sizes and CRC-32, or "" where pixels are not known."""
        return self._digest.hexdigest() if self.checksums else ""
