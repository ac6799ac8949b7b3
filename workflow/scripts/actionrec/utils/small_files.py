"""Read the small files that rules pass on to each other; refuse whatever else is in their place."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actionrec.errors import InputError

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
_MOVE = "move it away or correct its rights, and run the same command again"
_WAIT = "look whether the disk or network drive still answers, and run the same command again"
# What opening and reading say of the place of a file, and not of the program, and what to do.
_FIXES = {
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO), _MOVE),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _MOVE),
    **dict.fromkeys((errno.EIO, errno.ESTALE), _WAIT),
}


class NotAFile(InputError):
    """What is no file, or may not be used, is in the place of a file."""

    def __init__(self, path: Path | str, found: str, fix: str = _MOVE) -> None:
        super().__init__(
            "A file cannot be used.",
            where=path,
            found=found,
            allowed="a file that you may read and write, or nothing",
            fix=fix,
        )


class DamagedFile(InputError):
    """A file of the workflow's holds something else than what was written to it."""

    def __init__(self, path: Path, found: object) -> None:
        super().__init__(
            "A file of the workflow is damaged.",
            where=path,
            found=found,
            fix="delete it and run the same command again, which makes it again",
        )
        self.found = found


def require_file(path: Path) -> None:
    """Raise `NotAFile` for a folder, a link that leads nowhere and what is no file; pass for none.

    To be called before a file is opened: who opens a pipe waits for its other end, for ever.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise NotAFile(path, f"a link that leads nowhere: {path.readlink()}") from None
        return
    except OSError as error:
        raise _unusable(path, error) from error
    if not stat.S_ISREG(mode):
        raise NotAFile(path, _KINDS.get(stat.S_IFMT(mode), "a device"))


def explained(error: OSError) -> NotAFile | None:
    """Return the error to show for one of the system's that tells of a file's place, or None."""
    name = error.filename2 or error.filename
    if error.errno in _FIXES and isinstance(name, str | bytes):
        return _unusable(os.fsdecode(name), error)
    return None


def _unusable(path: Path | str, error: OSError) -> NotAFile:
    number = error.errno or 0
    return NotAFile(path, os.strerror(number), _FIXES.get(number, _MOVE))


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Raise `NotAFile` if a file to be opened within is none, or that is refused."""
    require_file(path)
    try:
        yield
    except OSError as error:
        if known := explained(error):
            raise known from error
        raise


def read_bytes(path: Path) -> bytes:
    """Return the content of a file of the workflow's.

    Raises `NotAFile` where it is none or cannot be read, and `FileNotFoundError` for nothing.
    """
    with opening(path):
        return path.read_bytes()


def read_text(path: Path) -> str:
    """Return a file's text in UTF-8; as `read_bytes`, and raises `DamagedFile` for other bytes."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise DamagedFile(path, error) from error


def read_json(path: Path) -> Any:
    """Return what a file in JSON holds; errors as `read_text`."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DamagedFile(path, error) from error


def read_object(path: Path, *keys: str) -> dict[str, Any]:
    """Return the object that a file in JSON holds; errors as `read_json`, and without the keys."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise DamagedFile(path, f"no object, but {str(content)[:80]}")
    if missing := [key for key in keys if key not in content]:
        raise DamagedFile(path, f"no key {missing[0]}")
    return content


def read_yaml(path: Path) -> Any:
    """Return what a file in YAML holds; errors as `read_text`."""
    import yaml  # which the processes that decode need not load

    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # of a date, a number, depth
        raise DamagedFile(path, error) from error
