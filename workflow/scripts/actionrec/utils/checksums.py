"""Know a large file by its SHA-256 without reading it each time.

A note beside the file, `<file>.sha256`, is what `sha256sum --check` reads, and says of which size
and time the file was. It outlives the file, so that another download can be compared with it.
"""

from pathlib import Path

from actionrec.errors import InputError
from actionrec.utils.files import locked, sha256, write_text


def verify(path: Path, expected: str) -> None:
    """Raise `InputError` unless `path` has this SHA-256; read it only if it is not as noted."""
    if not path.exists():
        raise InputError("There is no such file.", where=path)
    with locked(path.with_name(f".{path.name}.lock")):
        if _noted_state(path) != _state(path):
            write_note(path, sha256(path))
        found = noted(path)
    if found != expected.lower():
        raise InputError(
            "A file is not the one that its checksum tells.",
            where=path,
            found=f"sha256 {found}",
            allowed=[expected],
            fix="delete it and run the same command again, which downloads it; or correct sha256",
        )


def write_note(path: Path, digest: str) -> None:
    """Note the SHA-256 of the file at `path` as it is now."""
    write_text(_note(path), f"{digest}  {path.name}\n# {_state(path)}\n")


def noted(path: Path) -> str | None:
    """Return the SHA-256 that the file at `path` had when it was read last, there or not."""
    lines = _lines(path)
    return lines[0].split()[0] if lines and lines[0].strip() else None


def _noted_state(path: Path) -> str:
    lines = _lines(path)
    return lines[1].removeprefix("# ") if len(lines) == 2 else ""


def _lines(path: Path) -> list[str]:
    try:
        return _note(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _state(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} bytes, {status.st_mtime_ns} ns"


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
