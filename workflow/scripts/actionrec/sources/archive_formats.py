"""See RAR, ZIP and TAR archives alike: what they hold, and how to take members out.

The format is recognised by the content, never by the suffix. What a header says is passed on as it
is; whether that is acceptable is decided in `archives`.
"""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import rarfile

from actionrec.sources import rar
from actionrec.sources.rar import DamagedArchive

SUFFIXES = (".rar", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_RAR_SPLIT = rarfile.RAR_FILE_SPLIT_BEFORE | rarfile.RAR_FILE_SPLIT_AFTER
_ZIP_ENCRYPTED = 0x1
_UNREADABLE = (
    rarfile.Error,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    NotImplementedError,  # a compression that zipfile does not know
)


@dataclass(frozen=True)
class Entry:
    """An entry of an archive as its header describes it.

    `kind` is "file", "folder" or "link", which stands for anything else too. `crc` is of the
    unpacked bytes, if the format has one. `volume` marks a part of a file in several volumes.
    """

    name: str
    kind: str
    size: int
    crc: int | None = None
    locked: bool = False
    volume: bool = False


@dataclass(frozen=True)
class Format:
    """How one format is read, and whether a member is reached only through all before it."""

    entries: Callable[[Path], Iterator[Entry]]
    extract: Callable[[Path, Sequence[str], Path], None]
    is_sequential: Callable[[Path], bool]


def read_entries(archive: Path) -> Iterator[Entry]:
    """Yield the entries of `archive` in its order.

    Raises `DamagedArchive` when it cannot be read to the end or is of no known format.
    """
    with _explained():
        yield from _format_of(archive).entries(archive)


def extract(archive: Path, names: Sequence[str], folder: Path) -> None:
    """Unpack the members `names`, which are known to be harmless, into `folder`.

    A tool may overlook damage: compare CRCs afterwards. Raises `DamagedArchive`, and `OSError`
    when the disk is full.
    """
    with _explained():
        _format_of(archive).extract(archive, names, folder)


def is_sequential(archive: Path) -> bool:
    """Tell whether a member is reached only by decoding all that come before it."""
    with _explained():
        return _format_of(archive).is_sequential(archive)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise DamagedArchive(str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedArchive(str(error)) from error  # so gzip and bz2 report damaged data


def _format_of(archive: Path) -> Format:
    with archive.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"Rar!"):
        return RAR
    if start.startswith(b"PK"):
        return ZIP
    if tarfile.is_tarfile(archive):
        return TAR
    raise DamagedArchive("neither RAR nor ZIP nor TAR")


def _rar_entries(archive: Path) -> Iterator[Entry]:
    with rarfile.RarFile(archive, errors="strict", part_only=True) as opened:
        locked, end = opened.needs_password(), archive.stat().st_size
        if locked:  # perhaps its list too
            yield Entry("", "file", 0, locked=True)
        for info in opened.infolist():
            if info.data_offset + info.add_size > end:
                raise DamagedArchive(f"cut off in {info.filename}")
            kind = "folder" if info.is_dir() else "file" if info.is_file() else "link"
            yield Entry(
                info.filename,
                "link" if info.file_redir else kind,
                info.file_size,
                info.CRC,
                locked,
                bool(info.flags & _RAR_SPLIT),
            )


def _rar_is_solid(archive: Path) -> bool:
    with rarfile.RarFile(archive, part_only=True) as opened:
        return opened.is_solid()


def _zip_entries(archive: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            mode = info.external_attr >> 16
            plain = not stat.S_IFMT(mode) or stat.S_ISREG(mode)
            kind = "folder" if info.is_dir() else "file" if plain else "link"
            locked = bool(info.flag_bits & _ZIP_ENCRYPTED)
            # The name before zipfile made something harmless of it.
            yield Entry(info.orig_filename, kind, info.file_size, info.CRC, locked)


def _extract_zip(archive: Path, names: Sequence[str], folder: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        for name in names:
            with zipped.open(name) as member:
                _write(member, folder / name)


def _tar_entries(archive: Path) -> Iterator[Entry]:
    with tarfile.open(archive) as tar:
        for info in tar:
            plain = info.isreg() and not info.issparse()
            kind = "folder" if info.isdir() else "file" if plain else "link"
            if (name := _tar_name(info)) != ".":
                yield Entry(name, kind, info.size)
        # tarfile takes the end of the file for the end of the archive, wherever it comes.
        stream = cast(IO[bytes], tar.fileobj)
        stream.seek(tar.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise DamagedArchive("cut off, its end mark is missing")
        while stream.read(2**20):  # a compressed one is checksummed at its very end
            pass


def _extract_tar(archive: Path, names: Sequence[str], folder: Path) -> None:
    wanted = set(names)
    with tarfile.open(archive) as tar:
        for info in tar:
            if (name := _tar_name(info)) in wanted:
                with cast(IO[bytes], tar.extractfile(info)) as member:
                    _write(member, folder / name)


def _tar_name(info: tarfile.TarInfo) -> str:
    """Return a member's name: `tar -c .` writes ./walk/a.avi."""
    return info.name.removeprefix("./")


def _tar_is_compressed(archive: Path) -> bool:
    try:
        with tarfile.open(archive, "r:"):
            return False
    except tarfile.ReadError:
        return True


def _write(member: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        shutil.copyfileobj(member, file, 2**20)


RAR = Format(_rar_entries, rar.extract, _rar_is_solid)
ZIP = Format(_zip_entries, _extract_zip, lambda _archive: False)
TAR = Format(_tar_entries, _extract_tar, _tar_is_compressed)
