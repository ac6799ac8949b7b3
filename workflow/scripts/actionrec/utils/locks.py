"""Locks on files. The kernel releases them when the process that holds them ends, in any way.

The lock files stay: whoever removes one would take it from those who wait for it. By hand, since
filelock, for one, shares no lock of the kernel's among several holders.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, busy: str | None = None, *, shared: bool = False) -> Iterator[bool]:
    """Hold the lock file `path`, waiting for it; yield False where no lock can be had.

    That is so on a file system without locks, and in a folder that cannot be written to. A `shared`
    lock is held together with others that share it, any other lock alone. `busy` says what another
    process is doing if this one has to wait; it is logged.
    """
    try:
        file = _open(path)
    except OSError:
        yield False
        return
    try:
        yield _wait_for(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, busy)
    finally:
        os.close(file)


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` alone if nobody else holds it; yield whether it is held."""
    file = _open(path)
    try:
        yield _flock(file, fcntl.LOCK_EX)
    finally:
        os.close(file)


def _open(path: Path) -> int:
    """Return a descriptor of a lock file, which is made if it is not there."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)  # NFS locks no file that is only read
    except PermissionError:  # another user's, as in /tmp
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o666)


def _wait_for(file: int, kind: int, busy: str | None) -> bool:
    try:
        if not _flock(file, kind):
            if busy:
                log.warning("%s: waiting for it to end.", busy)
            fcntl.flock(file, kind)
    except OSError:  # a file system without locks
        return False
    return True


def _flock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
