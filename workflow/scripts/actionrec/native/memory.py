"""Room for decoded frames: so much of the memory, then a file on a disk that the user names."""

import ctypes
import logging
import math
import mmap
import os
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np

from actionrec.errors import InputError

MOST = "ACTIONREC_FRAME_MEMORY"  # GiB of memory for all processes of a task on this machine
FOLDER = "ACTIONREC_FRAME_DISK"
CGROUP = Path("/sys/fs/cgroup")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
LIMITS = (CGROUP / "memory.max", CGROUP / "memory" / "memory.limit_in_bytes")

log = logging.getLogger(__name__)


def spare_memory() -> int:
    """Return how many bytes a process may take and leave room for others: half of what is free."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    limits = [file.read_text(encoding="ascii").strip() for file in LIMITS if file.exists()]
    return min([int(kibibytes) * 1024, *map(int, filter(str.isdigit, limits))]) // 2


class Disk:
    """A file that is mapped into memory and ends with this process, however that ends.

    It takes up to this `share` of half of what is free in `folder`, as it is used. The kernel
    keeps in memory what fits there. Raises `InputError` if `folder` cannot be written to.
    """

    def __init__(self, folder: Path, share: float = 1) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115, as long as the process
            self.free = max(mmap.PAGESIZE, int(shutil.disk_usage(folder).free // 2 * share))
            self._file.truncate(self.free)
            self._map = mmap.mmap(self._file.fileno(), self.free)
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
        start = len(self._map) - self.free
        try:
            # Were the disk full at the first write, the kernel would kill the process.
            os.posix_fallocate(self._file.fileno(), start, size)
        except OSError as error:
            log.warning("%s has no more room for decoded frames: %s", FOLDER, error.strerror)
            self.free = 0
            return None
        self.free -= size
        return np.frombuffer(self._map, np.uint8, size, start)


class Memory:
    """So many bytes for frames, then what `disk` has; safe to use from several threads."""

    def __init__(self, free: int, disk: Disk | None = None) -> None:
        self._free, self._disk = free, disk
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        """The bytes that are left, those of the disk with them."""
        return self._free + (self._disk.free if self._disk else 0)

    def take(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return room for pixels of this shape, uint8, or None if there is none."""
        size = math.prod(shape)
        with self._lock:
            if size <= self._free:
                self._free -= size
                return np.empty(shape, np.uint8)
            there = self._disk.take(size) if self._disk else None
        return None if there is None else there.reshape(shape)

    def give_back(self, pixels: np.ndarray) -> None:
        """Let others have the room of pixels that are no longer needed; a disk's is not reused."""
        if pixels.flags.owndata:
            with self._lock:
                self._free += pixels.nbytes


def room_for_frames(processes: int) -> Memory:
    """Return the room that one of so many `processes` on this machine has for decoded frames.

    Half of the memory that is free, unless ACTIONREC_FRAME_MEMORY says how many GiB, and half of
    what is free in the folder ACTIONREC_FRAME_DISK, if that is set. Raises `InputError` for
    values that mean nothing.
    """
    folder = os.environ.get(FOLDER)
    disk = Disk(Path(folder), 1 / processes) if folder else None
    return Memory(_most_memory() // processes, disk)


def warn_of_room(memory: Memory, needed: int) -> None:
    """Log that a training decodes frames in every epoch, if it does, and what to do."""
    if needed > memory.free:
        log.warning(
            "The decoded frames of all training videos take %.1f GiB, and there is room for %.1f: "
            "the others are decoded in every epoch. The environment variable %s may name a folder "
            "on a fast disk of this machine for them, %s allow more memory (GiB).",
            needed / 2**30,
            memory.free / 2**30,
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


def keep_freed() -> None:
    """Have the C library keep the memory of images that are done with for the next ones.

    Returned to the kernel, as by default from 128 KiB on, each image's pages are mapped and
    cleared anew, for which the threads of a process wait for each other.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # musl has none
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that glibc takes
        libc.mallopt(M_TRIM_THRESHOLD, 2**29)
