"""Decode a solid archive once for all classes, although each class has a job of its own.

The first job that comes unpacks the shares of all classes that wait for one, and puts them beside
the archive; the others find theirs there and move it away. Nothing is left in the end, and what a
killed run leaves is used by the next, unless the archive has changed.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from actionrec.utils.files import locked

Unpack = Callable[[Sequence[str], Path], None]  # classes, folder -> <folder>/<class>


def take(archive: Path, cls: str, others: Sequence[str], target: Path, unpack: Unpack) -> None:
    """Put the share of class `cls` at `target`; `unpack` is called if nobody did it before.

    Raises what `unpack` raises.
    """
    stage = archive.with_name(f".{archive.name}.classes")
    with locked(archive.with_name(f".{archive.name}.lock")) as alone:
        if not alone:  # the file system knows no locks: no sharing
            unpack([cls], target.parent)
            (target.parent / cls).rename(target)
            return
        _forget_unless(stage, archive)
        try:
            if not (stage / "shares" / cls).is_dir():
                _fill(stage, [cls, *others], unpack)
            shutil.move(stage / "shares" / cls, target)
        finally:
            if not any((stage / "shares").iterdir()):
                shutil.rmtree(stage)


def _forget_unless(stage: Path, archive: Path) -> None:
    """Remove shares of an archive that was another one, or the same in another state."""
    status = archive.stat()
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    if stage.is_dir() and _read(stage / "stamp") != stamp:
        shutil.rmtree(stage)
    (stage / "shares").mkdir(parents=True, exist_ok=True)
    (stage / "stamp").write_text(stamp)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _fill(stage: Path, classes: Sequence[str], unpack: Unpack) -> None:
    part = stage / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    wanted = [cls for cls in dict.fromkeys(classes) if not (stage / "shares" / cls).is_dir()]
    try:
        unpack(wanted, part)
        for share in part.iterdir():
            share.rename(stage / "shares" / share.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
