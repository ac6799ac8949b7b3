"""Write files so that a reader sees the whole new one or the old one, never a part."""

import errno
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.work_folder import work_folder

MAX_NAME_BYTES = 255  # of a file or folder, on every common file system
_SHORT = 150  # characters of one byte each that leave space for what a temporary name adds


@contextmanager
def replacing(target: Path | str) -> Iterator[Path]:
    """Yield a path next to `target` that takes its place at the end, or is removed on an error.

    What is written there may be a file or a folder; a folder only replaces nothing or a folder. A
    file is on the disk before it takes its place; of a folder's many files that is not awaited.
    """
    target = Path(target)
    with explained_disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        stem = target.with_name(hidden_name(target.name))
        # The second time explains what the disk is like before the folder is removed.
        with work_folder(stem) as folder, explained_disk_errors(target):
            part = folder / target.name
            yield part
            _publish(part, target, folder / "replaced")


def _publish(part: Path, target: Path, aside: Path) -> None:
    # Only an empty folder can be replaced by a rename: a full one is moved out of the way first.
    if part.is_dir() and target.is_dir() and not target.is_symlink():
        target.rename(aside)
    if part.is_file() and not part.is_symlink():
        # Else a power loss soon after may leave the new name with nothing behind it.
        _wait_for_disk(part)
    part.replace(target)
    _wait_for_disk(target.parent)


def _wait_for_disk(path: Path) -> None:
    """Return when the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Network and FUSE file systems that have no such call, mostly for folders.
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def shortened(name: str, longest: int) -> str:
    """Return a name of at most `longest` bytes: a long one is cut, and told apart by a hash."""
    raw = name.encode()
    if len(raw) <= longest:
        return name
    start = raw[: longest - 20].decode("utf-8", "ignore")
    return f"{start}~{hashlib.sha256(raw).hexdigest()[:16]}"


def hidden_name(name: str) -> str:
    """Return a name that starts with a dot, to which some 90 characters can be added.

    A long name is cut, and told from others that begin alike by a checksum.
    """
    encoded = os.fsencode(name)
    if len(encoded) <= _SHORT:
        return f".{name}"
    return f".{name[:30]}-{zlib.crc32(encoded):08x}"  # at most four bytes a character


def write_text(target: Path | str, text: str) -> None:
    """Write `text` to `target` in UTF-8, whole or not at all."""
    with replacing(target) as part:
        part.write_text(text, encoding="utf-8")


def write_bytes(target: str, content: bytes | memoryview) -> None:
    """Write a file by three system calls, since a class has thousands of images.

    An error leaves a part of it: for folders that are published as a whole.
    """
    file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        rest = memoryview(content).cast("B")
        while rest:
            rest = rest[os.write(file, rest) :]
    finally:
        os.close(file)


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def same_file_system_link(source: Path, target: Path) -> None:
    """Make `target` a second name of `source`, or a copy where the file system has no links."""
    with replacing(target) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
