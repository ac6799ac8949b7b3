"""Unpack videos and split files from RAR archives, which may come from strangers.

An archive is listed first, and only members of the expected shape are asked for. They are
unpacked beside their target, compared with the listing, and renamed into place.
"""

import logging
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import rarfile

from actionrec.errors import InputError, some
from actionrec.files import explained_disk_errors
from actionrec.unrar import DamagedArchive, extract
from actionrec.videos import SUFFIXES, is_video, write_files_table

MAX_BYTES = 32 * 2**30
MAX_MEMBERS = 100_000
MAX_SPLIT_BYTES = 2**20
SPLIT_NUMBERS = (1, 2, 3)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """A file in an archive, as its header describes it. `crc` is of the unpacked bytes."""

    name: str
    size: int
    crc: int | None


def unpack_class(
    archive: Path, cls: str, videos: Path, table: Path, *, max_bytes: int = MAX_BYTES
) -> None:
    """Unpack the videos of class `cls` into the folder `videos`, then list them in `table`.

    `archive` holds `<cls>.rar` with `<cls>/<video>` in it, as HMDB51 does, or `<cls>/<video>`
    itself. Other files in `videos` stay. Raises `InputError` when the class is missing, when
    the archive is damaged, encrypted or not of that shape, when it would unpack to more than
    `max_bytes`, and when the disk is full; `videos` and `table` are then as they were.
    """
    archive, videos, table = Path(archive), Path(videos), Path(table)
    with explained_disk_errors(videos), _scratch(videos) as scratch:
        members = list_members(archive)
        if f"{cls}.rar" in members:
            inner = {f"{cls}.rar": members[f"{cls}.rar"]}
            _unpack(archive, inner, scratch / "archive", max_bytes)
            archive = scratch / "archive" / f"{cls}.rar"
            members = list_members(archive)
        elif not any(name.startswith(f"{cls}/") for name in members):
            raise _missing_class(archive, cls, members)
        clips = _clips(archive, cls, members)
        _unpack(archive, clips, scratch / "videos", max_bytes)
        files = [scratch / "videos" / name for name in clips]
        _publish(files, videos)
        write_files_table(table, [videos / file.name for file in files])


def unpack_splits(archive: Path, classes: Sequence[str], folder: Path) -> None:
    """Unpack the official split files `<class>_test_split{1,2,3}.txt` of `classes` into `folder`.

    In the archive they lie at the top or in one folder. Raises `InputError` when a file is
    missing and for what `unpack_class` raises it; `folder` is then as it was.
    """
    archive, folder = Path(archive), Path(folder)
    wanted = [f"{cls}_test_split{number}.txt" for cls in classes for number in SPLIT_NUMBERS]
    with explained_disk_errors(folder), _scratch(folder) as scratch:
        members = list_members(archive)
        by_name = {PurePosixPath(name).name: name for name in members if name.count("/") <= 1}
        missing = [name for name in wanted if name not in by_name]
        if missing:
            raise _missing_splits(archive, missing, by_name)
        chosen = {by_name[name]: members[by_name[name]] for name in wanted}
        _unpack(archive, chosen, scratch / "splits", MAX_SPLIT_BYTES * len(wanted))
        _publish([scratch / "splits" / name for name in chosen], folder)


def list_members(archive: Path) -> dict[str, Member]:
    """Return the files in `archive` by name, in its order.

    Raises `InputError` for what no data set has and a trap may have: links, encryption,
    volumes, a name twice, and names that lead out of the folder.
    """
    members: dict[str, Member] = {}
    for entry in _read_entries(archive):
        _check_entry(archive, entry, members)
        if entry.data_offset + entry.add_size > archive.stat().st_size:
            raise _damaged(archive, f"cut off in {entry.filename}")
        if entry.is_file():
            members[entry.filename] = Member(entry.filename, entry.file_size, entry.CRC)
    if not members:
        raise _damaged(archive, "nothing in it")
    return members


def _read_entries(archive: Path) -> list[rarfile.RarInfo]:
    try:
        with rarfile.RarFile(archive, errors="strict", part_only=True) as rar:
            locked, entries = rar.needs_password(), rar.infolist()
    except (rarfile.Error, OSError, ValueError) as error:
        if not archive.is_file():
            raise InputError("There is no such archive.", where=archive) from error
        raise _damaged(archive, error) from error
    if locked:
        raise InputError(
            "The archive is encrypted.", where=archive, fix="use one without a password"
        )
    if len(entries) > MAX_MEMBERS:
        raise _refused(archive, f"{len(entries)} members")
    return entries


def _check_entry(archive: Path, entry: rarfile.RarInfo, seen: Mapping[str, Member]) -> None:
    name = entry.filename
    parts = name.removesuffix("/").split("/")
    if not (entry.is_file() or entry.is_dir()) or entry.file_redir:
        raise _refused(archive, f"{name} (a link)")
    if {"", ".", ".."} & set(parts) or re.search(r"[\\\x00-\x1f\x7f]|^[A-Za-z]:", name):
        raise _refused(archive, f"{name!r} (a name that may lead elsewhere)")
    if entry.flags & rarfile.RAR_FILE_SPLIT_BEFORE or entry.flags & rarfile.RAR_FILE_SPLIT_AFTER:
        raise _refused(archive, f"{name} (one part of several volumes)")
    if name in seen:
        raise _refused(archive, f"{name} (twice)")


def _clips(archive: Path, cls: str, members: Mapping[str, Member]) -> dict[str, Member]:
    clips, strays = {}, []
    for name, member in members.items():
        folder, _, file = name.partition("/")
        if folder == cls and "/" not in file and is_video(file):
            clips[name] = member
        elif folder == cls or archive.stem == cls:
            strays.append(name)
    if not clips or any(is_video(PurePosixPath(name).name) for name in strays):
        raise InputError(
            f"The archive of class {cls!r} does not hold {cls}/<video>.",
            where=archive.name,
            found=some(strays) or "nothing",
            allowed=[f"{cls}/*{suffix}" for suffix in SUFFIXES],
        )
    if strays:
        log.warning("Left in %s, not a video: %s", archive.name, some(strays))
    return clips


def _unpack(archive: Path, members: Mapping[str, Member], folder: Path, max_bytes: int) -> None:
    """Unpack `members` into the new `folder`; what is there afterwards is what was listed."""
    total = sum(member.size for member in members.values())
    if total > max_bytes:
        raise _refused(archive, f"{total} bytes once unpacked, more than {max_bytes}")
    folder.mkdir()
    _require_space(folder, total)
    try:
        extract(archive, list(members), folder)
        for member in members.values():
            _verify(folder, member)
    except DamagedArchive as error:
        raise _damaged(archive, error) from error


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            "There is not enough room to unpack.",
            where=folder.parent.parent,
            found=f"{free / 2**20:.1f} MiB free, {needed / 2**20:.1f} MiB needed",
            fix="free some space and run the same command again; finished work is kept",
        )


def _verify(folder: Path, member: Member) -> None:
    path = folder / member.name
    if path.resolve() != folder.resolve() / member.name or not path.is_file():
        raise DamagedArchive(f"{member.name} did not come out of it")
    if path.stat().st_size != member.size:
        raise DamagedArchive(f"{member.name}: {path.stat().st_size} bytes, not {member.size}")
    if member.crc is not None and _crc32(path) != member.crc:
        raise DamagedArchive(f"{member.name}: wrong CRC")


def _crc32(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            crc = zlib.crc32(chunk, crc)
    return crc


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target` for the time being, and remove what a killed job left."""
    prefix = f".{target.name}.unpack-"
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in target.parent.iterdir():
        if re.fullmatch(re.escape(prefix) + r"\w{8}", path.name):
            shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as folder:
        yield Path(folder)


def _publish(files: Iterable[Path], target: Path) -> None:
    if target.is_symlink():  # to a user's own folder, from a time when that was the source
        target.unlink()
    target.mkdir(exist_ok=True)
    for file in files:
        file.chmod(0o644)
        file.replace(target / file.name)


def _missing_class(archive: Path, cls: str, members: Iterable[str]) -> InputError:
    names = [PurePosixPath(name) for name in members]
    nested = {name.stem for name in names if name.suffix == ".rar" and len(name.parts) == 1}
    direct = {name.parts[0] for name in names if len(name.parts) == 2}
    if not nested | direct:
        return InputError(
            "The archive holds neither <class>.rar nor <class>/<video>.",
            where=archive,
            found=some([str(name) for name in names]) or "nothing",
            fix="set dataset.archives.videos to the archive that holds the videos",
        )
    return InputError(
        "A class is not in the archive.",
        where=archive,
        found=cls,
        allowed=sorted(nested | direct),
        fix="correct dataset.classes",
    )


def _missing_splits(archive: Path, missing: Sequence[str], names: Iterable[str]) -> InputError:
    pattern = re.compile(r"(.+)_test_split[123]\.txt")
    there = {match[1] for name in names if (match := pattern.fullmatch(name))}
    classes = sorted({pattern.fullmatch(name)[1] for name in missing})
    return InputError(
        f"The archive lacks split files: {some(missing)}",
        where=archive,
        found=some(classes),
        allowed=sorted(there),
        fix="correct dataset.classes, or set splits.method to fraction",
    )


def _refused(archive: Path, found: str) -> InputError:
    return InputError(
        "The archive holds what no data set needs, and is not unpacked.",
        where=archive,
        found=found,
        fix="use the official archive",
    )


def _damaged(archive: Path, error: object) -> InputError:
    return InputError(
        "The archive is damaged or no RAR archive.",
        where=archive,
        found=error,
        fix="delete it and run the same command again, which makes it anew",
    )
