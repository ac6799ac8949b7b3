"""Which file a loader's worker is reading, for the process that waits for it to see.

A worker on a dead network drive hangs in the kernel, and cannot say anything itself.
"""

import mmap
import os
from pathlib import Path

SIZE = 4096 + 8  # a path, after the number of files so far


class ReadingSlot:
    """Memory shared with a worker, in which that notes each file before it reads it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SIZE)
        self._count = 0

    def note(self, path: Path) -> None:
        """Note that this process is about to read a file."""
        self._count += 1
        name = os.fsencode(path)[: SIZE - 9]
        self._memory[8 : 9 + len(name)] = name + b"\0"
        self._memory[:8] = self._count.to_bytes(8, "little")

    @property
    def count(self) -> int:
        """The number of files that have been noted."""
        return int.from_bytes(self._memory[:8], "little")

    @property
    def path(self) -> str:
        """The file that was noted last, or "" before the first."""
        return os.fsdecode(self._memory[8:].partition(b"\0")[0])


_slot: ReadingSlot | None = None


def note_in(slot: ReadingSlot) -> None:
    """Let this process note in `slot` what it reads."""
    global _slot
    _slot = slot


def note(path: Path) -> None:
    """Note that this process is about to read a file, if anybody wants to know."""
    if _slot is not None:
        _slot.note(path)
