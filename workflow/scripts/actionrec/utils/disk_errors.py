"""Say what to do when a disk or file system refuses to write."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from actionrec.errors import InputError


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
    """Explain what is in place of the target or of a folder above it, and rights that lack."""
    whole = target.absolute()
    for folder in whole.parents:
        if os.path.lexists(folder) and not folder.is_dir():
            problem = f"A file, or a link that leads nowhere, is in place of a folder of {target}."
            return problem, str(folder), f"move it away {again}"
    names = (error.filename, error.filename2)
    touched = [Path(name).absolute() for name in names if isinstance(name, str)]
    if whole in touched and error.errno in _IN_PLACE:
        problem, fix = _IN_PLACE[error.errno]
        return f"{problem} {target}.", said, f"{fix} {again}"
    if whole in touched or error.errno not in (errno.EACCES, errno.EPERM):
        return None
    # Temporary names next to the target are of it too, and those in folders that are next to it,
    # which may have been removed since.
    for folder in (path.parent for path in touched if whole.parent in path.parents):
        if folder.is_dir() and not os.access(folder, os.W_OK, effective_ids=True):
            fix = f"correct the folder's rights or owner, {again}"
            return f"You may not write {target}.", f"{said}: {folder}", fix
    return None


# What is wrong with the target's own place: problem, and what to do.
_IN_PLACE = {
    errno.EISDIR: ("A folder is in place of the file", "move it away"),
    errno.ENOTDIR: ("A file is in place of the folder", "move it away"),
    errno.EEXIST: ("A file is in place of the folder", "move it away"),
    errno.EACCES: ("You may not write", "correct its rights or owner,"),
    errno.EPERM: ("You may not write", "correct its rights or owner,"),
}
