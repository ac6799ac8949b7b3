"""Memory for decoded frames: first a share of the RAM, then a file on a disk that the user names.

Frames are decoded once and then cropped again in every epoch, so a training is several times faster
if all frames of the dataset fit here.
"""

import logging
import math
import mmap
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

import numpy as np

from actionrec.errors import InputError

MEMORY_VARIABLE = "ACTIONREC_FRAME_MEMORY"  # GiB, for all processes of a task on this machine
DISK_VARIABLE = "ACTIONREC_FRAME_DISK"
CGROUP = Path("/sys/fs/cgroup")
CGROUP_LIMITS = (CGROUP / "memory.max", CGROUP / "memory" / "memory.limit_in_bytes")  # v2, v1

log = logging.getLogger(__name__)


def spare_memory() -> int:
    """Return half of the bytes of memory that are free, within the limits of a container."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    limits = [file.read_text(encoding="ascii").strip() for file in CGROUP_LIMITS if file.exists()]
    return min([int(kibibytes) * 1024, *map(int, filter(str.isdigit, limits))]) // 2


class FrameDisk:
    """A temporary file in `folder`, mapped into memory; it ends with the process that uses it.

    It takes up to `share` of half of the folder's free space, as it is used. The kernel keeps as
    much of it in RAM as fits there. Raises `InputError` if `folder` cannot be written to.
    """

    def __init__(self, folder: Path, share: float = 1) -> None:
        self._folder = folder
        # Opened with the first allocation: each worker, a fork of this process, needs its own.
        self._opened: tuple[IO[bytes], mmap.mmap] | None = None
        try:
            self.free = max(mmap.PAGESIZE, int(shutil.disk_usage(folder).free // 2 * share))
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise InputError(
                "The folder for decoded frames cannot be used.",
                where=f"environment: {DISK_VARIABLE}",
                found=f"{folder}: {os.strerror(error.errno or 0)}",
                fix="name a folder on a disk of this machine that can be written to",
            ) from error

    def allocate(self, size: int) -> np.ndarray | None:
        """Return `size` bytes of the file, or None if there is no space for them."""
        if size > self.free:
            return None
        try:
            if self._opened is None:
                self._opened = self._open()
            file, mapped = self._opened
            start = len(mapped) - self.free
            # Reserves the blocks now. If the disk were full at the first write to the mapped
            # memory, the kernel would kill the process (SIGBUS).
            os.posix_fallocate(file.fileno(), start, size)
        except OSError as error:
            log.warning(
                "%s has no more space for decoded frames: %s", DISK_VARIABLE, error.strerror
            )
            self.free = 0
            return None
        self.free -= size
        return np.frombuffer(mapped, np.uint8, size, start)

    def _open(self) -> tuple[IO[bytes], mmap.mmap]:
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115, ends with its process
        file.truncate(self.free)
        return file, mmap.mmap(file.fileno(), self.free)


class FrameMemory:
    """A budget of `free` bytes of RAM for frames, and then what `disk` has."""

    def __init__(self, free: int, disk: FrameDisk | None = None) -> None:
        self._free, self._disk = free, disk

    @property
    def free(self) -> int:
        """The bytes that are left, of RAM and disk together."""
        return self._free + (self._disk.free if self._disk else 0)

    def allocate(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return an uninitialised uint8 array of this shape, or None if there is no space."""
        size = math.prod(shape)
        if size <= self._free:
            self._free -= size
            return np.empty(shape, np.uint8)
        pixels = self._disk.allocate(size) if self._disk else None
        return None if pixels is None else pixels.reshape(shape)

    def release(self, pixels: np.ndarray) -> None:
        """Return the memory of an array to the budget; space on the disk is not used again."""
        if pixels.flags.owndata:  # an array on the disk is a view of the mapped file
            self._free += pixels.nbytes


def memory_for_frames(share: float) -> FrameMemory:
    """Return the memory for the frames of a process that has this share of the machine's.

    The machine's is half of the free RAM, or ACTIONREC_FRAME_MEMORY in GiB, and half of the free
    space in the folder ACTIONREC_FRAME_DISK, if that is set. Raises `InputError` for values of
    these variables that mean nothing.
    """
    folder = os.environ.get(DISK_VARIABLE)
    disk = FrameDisk(Path(folder), share) if folder else None
    return FrameMemory(int(_memory_limit() * share), disk)


def warn_if_too_small(available: int, needed: int) -> None:
    """Log that a training decodes frames in every epoch, if it must, and what to do about it."""
    if needed > available:
        log.warning(
            "The decoded frames of all training videos take %.1f GiB, and there is memory for "
            "%.1f: the others are decoded in every epoch. The environment variable %s may name a "
            "folder on a fast disk of this machine for them, %s allow more memory (GiB).",
            needed / 2**30,
            available / 2**30,
            DISK_VARIABLE,
            MEMORY_VARIABLE,
        )


def _memory_limit() -> int:
    """Return the bytes of RAM for the frames of all processes on this machine."""
    setting = os.environ.get(MEMORY_VARIABLE)
    if not setting:
        return spare_memory()
    try:
        gibibytes = float(setting)
        if not 0 <= gibibytes < math.inf:
            raise ValueError
    except ValueError:
        raise InputError(
            "The memory for decoded frames is not a number.",
            where=f"environment: {MEMORY_VARIABLE}",
            found=setting,
            allowed="GiB: 0, 0.5, 64...",
        ) from None
    return int(gibibytes * 2**30)
