"""Decode a solid archive once for all classes, although each class has a job of its own.

In a solid archive nothing is reached without decoding all before it. The first job that comes
unpacks the shares of all classes that wait for one, and puts them next to the archive; the others
find theirs there and move it away. Nothing is left in the end, and what a killed run leaves is used
by the next, unless the archive has changed.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from actionrec.utils.locks import locked

Unpack = Callable[[Sequence[str], Path], None]  # classes, folder -> <folder>/<class>


def take_share(
    archive: Path, cls: str, others: Sequence[str], target: Path, unpack: Unpack
) -> None:
    """Put the share of class `cls` at `target`; `unpack` is called if no other job did it before.

    Raises what `unpack` raises.
    """
    store = archive.with_name(f".{archive.name}.classes")
    with locked(archive.with_name(f".{archive.name}.lock")) as alone:
        if not alone:  # the file system has no locks: no sharing
            unpack([cls], target.parent)
            (target.parent / cls).rename(target)
            return
        _clear_unless_of(store, archive)
        try:
            if not (store / "shares" / cls).is_dir():
                _fill(store, [cls, *others], unpack)
            shutil.move(store / "shares" / cls, target)
        finally:
            if not any((store / "shares").iterdir()):
                shutil.rmtree(store)


def _clear_unless_of(store: Path, archive: Path) -> None:
    """Remove shares of an archive that was another one, or the same in another state."""
    status = archive.stat()
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    if store.is_dir() and _read(store / "stamp") != stamp:
        shutil.rmtree(store)
    (store / "shares").mkdir(parents=True, exist_ok=True)
    (store / "stamp").write_text(stamp)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _fill(store: Path, classes: Sequence[str], unpack: Unpack) -> None:
    """Unpack the shares of the classes that have none yet; one that is there is whole."""
    part = store / "part"
    shutil.rmtree(part, ignore_errors=True)  # of a killed job
    part.mkdir()
    wanted = [cls for cls in dict.fromkeys(classes) if not (store / "shares" / cls).is_dir()]
    try:
        unpack(wanted, part)
        for share in part.iterdir():
            share.rename(store / "shares" / share.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
