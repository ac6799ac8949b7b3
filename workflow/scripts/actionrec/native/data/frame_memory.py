"""Room for decoded frames: so much of the memory, then a file on a disk that the user names."""

import logging
import math
import mmap
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from actionrec.errors import InputError

MOST = "ACTIONREC_FRAME_MEMORY"  # GiB of memory for all processes of a task on this machine
FOLDER = "ACTIONREC_FRAME_DISK"
CGROUP = Path("/sys/fs/cgroup")
LIMITS = (CGROUP / "memory.max", CGROUP / "memory" / "memory.limit_in_bytes")

log = logging.getLogger(__name__)


def spare_memory() -> int:
    """Return how many bytes a process may take and leave room for others: half of what is free."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    limits = [file.read_text(encoding="ascii").strip() for file in LIMITS if file.exists()]
    return min([int(kibibytes) * 1024, *map(int, filter(str.isdigit, limits))]) // 2


class Disk:
    """A file that is mapped into memory and ends with the process that uses it, however it ends.

    It takes up to this `share` of half of what is free in `folder`, as it is used. The kernel
    keeps in memory what fits there. Raises `InputError` if `folder` cannot be written to.
    """

    def __init__(self, folder: Path, share: float = 1) -> None:
        self._folder, self._map = folder, None
        try:
            self.free = max(mmap.PAGESIZE, int(shutil.disk_usage(folder).free // 2 * share))
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise InputError(
                "The folder for decoded frames cannot be used.",
                where=f"environment: {FOLDER}",
                found=f"{folder}: {os.strerror(error.errno or 0)}",
                fix="name a folder on a disk of this machine that can be written to",
            ) from error

    def take(self, size: int) -> np.ndarray | None:
        """Return `size` bytes of the file, or None if there is no room for them."""
        if size > self.free:
            return None
        try:
            if self._map is None:
                self._open()
            start = len(self._map) - self.free
            # Were the disk full at the first write, the kernel would kill the process.
            os.posix_fallocate(self._file.fileno(), start, size)
        except OSError as error:
            log.warning("%s has no more room for decoded frames: %s", FOLDER, error.strerror)
            self.free = 0
            return None
        self.free -= size
        return np.frombuffer(self._map, np.uint8, size, start)

    def _open(self) -> None:
        self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115, ends with its process
        self._file.truncate(self.free)
        self._map = mmap.mmap(self._file.fileno(), self.free)


class Memory:
    """So many bytes for frames, then what `disk` has."""

    def __init__(self, free: int, disk: Disk | None = None) -> None:
        self._free, self._disk = free, disk

    @property
    def free(self) -> int:
        """The bytes that are left, those of the disk with them."""
        return self._free + (self._disk.free if self._disk else 0)

    def take(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return room for pixels of this shape, uint8, or None if there is none."""
        size = math.prod(shape)
        if size <= self._free:
            self._free -= size
            return np.empty(shape, np.uint8)
        there = self._disk.take(size) if self._disk else None
        return None if there is None else there.reshape(shape)

    def give_back(self, pixels: np.ndarray) -> None:
        """Let others have the room of pixels that are no longer needed; a disk's is not reused."""
        if pixels.flags.owndata:
            self._free += pixels.nbytes


def room_for_frames(share: float) -> Memory:
    """Return the room for decoded frames of a process that has this share of the machine's.

    That is half of the memory that is free, unless ACTIONREC_FRAME_MEMORY says how many GiB, and
    half of what is free in the folder ACTIONREC_FRAME_DISK, if that is set. Raises `InputError`
    for values that mean nothing.
    """
    folder = os.environ.get(FOLDER)
    disk = Disk(Path(folder), share) if folder else None
    return Memory(int(_most_memory() * share), disk)


def warn_of_room(room: int, needed: int) -> None:
    """Log that a training decodes frames in every epoch, if it does, and what to do."""
    if needed > room:
        log.warning(
            "The decoded frames of all training videos take %.1f GiB, and there is room for %.1f: "
            "the others are decoded in every epoch. The environment variable %s may name a folder "
            "on a fast disk of this machine for them, %s allow more memory (GiB).",
            needed / 2**30,
            room / 2**30,
            FOLDER,
            MOST,
        )


def _most_memory() -> int:
    given = os.environ.get(MOST)
    if not given:
        return spare_memory()
    try:
        most = float(given)
        if not 0 <= most < math.inf:
            raise ValueError
    except ValueError:
        raise InputError(
            "The memory for decoded frames is no number.",
            where=f"environment: {MOST}",
            found=given,
            allowed=["GiB: 0, 0.5, 64..."],
        ) from None
    return int(most * 2**30)
