"""Write files so that a reader sees the whole new one or the old one, never a part."""

import errno
import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actionrec.errors import InputError
from actionrec.utils.work_folder import work_folder

MAX_NAME_BYTES = 255  # of a file or folder, on every common file system
_SHORT = 150  # characters of one byte each that leave space for what a temporary name adds


@contextmanager
def explained_disk_errors(target: Path) -> Iterator[None]:
    """Turn what a file system refuses while `target` is written into an `InputError`.

    That is: no space, no inodes, a quota, a disk that is read-only or broken, a folder in place of
    a file or the other way round, and rights. Other errors, of other files, pass.
    """
    try:
        yield
    except OSError as error:
        parent = next(folder for folder in target.absolute().parents if folder.is_dir())
        explanation = _explained(error, target, parent)
        if explanation is None:
            raise
        problem, found, fix = explanation
        raise InputError(problem, where=parent, found=found, fix=fix) from error


def _explained(error: OSError, target: Path, parent: Path) -> tuple[str, str, str] | None:
    """Return problem, finding and fix for an error that the disk explains."""
    again = "and run the same command again; finished work is kept"
    free = f"{shutil.disk_usage(parent).free / 2**20:.0f} MiB free"
    said = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.ENOSPC:
        inodes = os.statvfs(parent)
        if inodes.f_files and not inodes.f_favail:  # some file systems count none
            return (
                f"The disk can hold no more files while writing {target}: its inodes are used up.",
                f"0 inodes free, {free}",
                f"delete files that are not needed, however small, {again}",
            )
        return f"The disk is full while writing {target}.", free, f"free some space {again}"
    if error.errno in _REFUSALS:
        problem, fix = _REFUSALS[error.errno]
        return f"{problem} while writing {target}.", f"{said}; {free}", f"{fix}, {again}"
    return _explained_place(error, target, said, again)


# What a whole file system or process refuses: problem, and what to do.
_REFUSALS = {
    errno.EDQUOT: ("Your quota is used up", "free some space or files (quota -s shows it)"),
    errno.EROFS: ("The disk is read-only", "mount it for writing, or use another disk"),
    errno.EIO: ("The disk does not work", "look at the system's log (dmesg)"),
    errno.EFBIG: ("The file is too large for its disk", "use a disk with another file system"),
    errno.EMFILE: ("Too many files are open", "raise the limit (ulimit -n 4096)"),
    errno.ENFILE: ("Too many files are open", "end other programs"),
}


def _explained_place(
    error: OSError, target: Path, said: str, again: str
) -> tuple[str, str, str] | None:
    """Explain what stands where `target` or a folder above it should, and rights that lack."""
    names = (error.filename, error.filename2)
    touched = [Path(name).absolute() for name in names if isinstance(name, str)]
    whole = target.absolute()
    if any(os.path.lexists(path) and not path.is_dir() for path in whole.parents):
        file = next(p for p in whole.parents if os.path.lexists(p) and not p.is_dir())
        problem = f"A file, or a link that leads nowhere, is in place of a folder of {target}."
        return problem, str(file), f"move it away {again}"
    if whole not in touched:
        # Temporary names next to the target are of it too.
        if error.errno not in (errno.EACCES, errno.EPERM) or not any(
            path.parent in (whole.parent, whole) or whole.parent in path.parents for path in touched
        ):
            return None
        if os.access(whole.parent, os.W_OK):
            return None
        return (
            f"You may not write {target}.",
            said,
            f"correct the folder's rights or owner, {again}",
        )
    if error.errno == errno.EISDIR:
        return f"A folder is in place of the file {target}.", said, f"move it away {again}"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"A file is in place of the folder {target}.", said, f"move it away {again}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"You may not write {target}.", said, f"correct its rights or owner, {again}"
    return None


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
