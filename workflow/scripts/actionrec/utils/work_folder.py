"""Temporary folders that do not outlive a killed process for longer than until the next one."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def work_folder(stem: Path) -> Iterator[Path]:
    """Yield a new folder `<stem>.part<number>`, which is removed at the end.

    Those of the same stem whose process was killed are removed before. The kernel ends the lock on
    a folder with the process that holds it: one without a lock has nobody who works in it. Names
    are numbered, since leftovers are then found without a listing of what may be thousands of
    files. On file systems that lock no folders nothing is removed.
    """
    folder, lock = _make(stem)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make(stem: Path) -> tuple[Path, int]:
    """Remove what was abandoned; return a new folder and the descriptor that holds its lock."""
    own: tuple[Path, int] | None = None
    for number in count():
        folder = Path(f"{stem}.part{number}")
        if own and not folder.exists():
            break
        _remove_abandoned(folder)
        own = own or _make_locked(folder)
    assert own is not None  # noqa: S101, the loop ends with one
    return own


def _remove_abandoned(folder: Path) -> None:
    try:
        descriptor = os.open(folder, _FLAGS)
    except OSError:  # there is none, or it is another user's
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody works in it, or there are no locks
        pass
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _make_locked(folder: Path) -> tuple[Path, int] | None:
    """Make a folder and lock it; return None if another process has it, or has removed it."""
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        return None
    # Until it has its lock, another process may take it for abandoned.
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, _FLAGS)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return folder, descriptor
        os.close(descriptor)
    return None
