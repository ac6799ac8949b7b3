"""Locks on files. The kernel releases them when the process that holds them ends, in any way.

The lock files stay: whoever removes one would take it from those who wait for it.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[bool]:
    """Hold the lock file `path` alone, waiting for it; yield False where no lock can be had.

    That is so on a file system without locks, and in a folder that cannot be written to. `busy`
    says what another process is doing if this one has to wait; it is logged.
    """
    from filelock import FileLock, Timeout  # 0.1 s, which a plan must not pay for

    # Its fallback, a file that marks the lock as taken, would outlive a killed process.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        try:
            lock.acquire(blocking=busy is None)
        except Timeout:
            log.warning("%s: waiting for it to end.", busy)
            lock.acquire()
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` alone if nobody else does; yield whether it is held.

    By hand, since the file may be another user's in /tmp: filelock opens it for writing, which is
    then refused. Opening it for reading is enough for the kernel's lock.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_CREAT, 0o644)
    try:
        yield _flock(file)
    finally:
        os.close(file)


def _flock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
