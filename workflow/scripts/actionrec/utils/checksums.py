"""Know the SHA-256 of a large file without reading it each time.

A file next to it, `<file>.sha256`, is what `sha256sum --check` reads, and records the size and time
of the file that was read. It outlives the file, so that another download can be compared with it.
"""

from pathlib import Path

from actionrec.errors import InputError, snakemake_command
from actionrec.utils.files import sha256, write_text
from actionrec.utils.locks import locked
from actionrec.utils.small_files import DamagedFile, read_text


def verify(path: Path, expected: str | None) -> None:
    """Raise `InputError` unless `path` has this SHA-256; read it only if it changed since.

    Without an expected SHA-256 any file will do.
    """
    if expected is None:
        return
    if not path.exists():
        raise InputError(
            "There is no such file.",
            where=path,
            fix=f"make it again: {snakemake_command('-f', path, '--cores', 1)}",
        )
    with locked(path.with_name(f".{path.name}.lock")):  # several jobs may ask at the same time
        if _recorded_state(path) != _state(path):
            record(path, sha256(path))
        found = recorded(path)
    if found != expected.lower():
        raise InputError(
            "A file has another checksum than expected.",
            where=path,
            found=f"sha256 {found}",
            allowed=[expected],
            fix="delete it and run the same command again, which downloads it; or correct sha256",
        )


def record(path: Path, digest: str) -> None:
    """Record the SHA-256 of the file at `path` as it is now."""
    write_text(record_file(path), f"{digest}  {path.name}\n# {_state(path)}\n")


def forget(path: Path) -> None:
    """Remove what is recorded of the file at `path`, if anything is."""
    record_file(path).unlink(missing_ok=True)


def recorded(path: Path) -> str | None:
    """Return the SHA-256 that the file at `path` had when it was last read, there or not."""
    lines = _lines(path)
    return lines[0].split()[0] if lines and lines[0].strip() else None


def _recorded_state(path: Path) -> str:
    lines = _lines(path)
    return lines[1].removeprefix("# ") if len(lines) == 2 else ""


def _lines(path: Path) -> list[str]:
    try:
        return read_text(record_file(path)).splitlines()
    except (FileNotFoundError, DamagedFile):  # nobody's record is no record
        return []


def _state(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} bytes, {status.st_mtime_ns} ns"


def record_file(path: Path) -> Path:
    """Return where the SHA-256 of the file at `path` is recorded."""
    return path.with_name(f"{path.name}.sha256")
