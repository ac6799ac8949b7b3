"""Unpack videos and split files from archives, which may come from strangers.

An archive is listed first, and only members of the expected shape are unpacked: next to their
target, where they are compared with the listing, and then renamed into place.
"""

import logging
import os
import re
import shutil
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from actionrec.errors import InputError, in_lines, snakemake_command, some
from actionrec.frames.videos import SUFFIXES, is_video, write_files_table
from actionrec.sources import archive_formats, solid_archives, split_files
from actionrec.sources.archive_formats import Entry
from actionrec.sources.file_names import normal
from actionrec.sources.rar import DamagedArchive
from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.files import MAX_NAME_BYTES, hidden_name
from actionrec.utils.locks import locked

MAX_BYTES = 32 * 2**30
MAX_MEMBERS = 100_000
MAX_SPLIT_BYTES = 2**20
_MAX_PATH = 3000  # bytes; Linux takes 4096 with the folders above

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """A file in an archive, as its header describes it. `crc` is of the unpacked bytes."""

    name: str
    size: int
    crc: int | None


def unpack_class(
    archive: Path,
    cls: str,
    videos: Path,
    table: Path,
    *,
    others: Sequence[str] = (),
    max_bytes: int = MAX_BYTES,
) -> None:
    """Unpack the videos of class `cls` into the folder `videos`, then list them in `table`.

    `archive` holds an archive `<cls>.rar` (or .zip, .tar...) of `<cls>/<video>`, as HMDB51 does,
    or `<cls>/<video>` itself, as UCF101 does; either may lie in folders. A solid one is decoded
    once for all `others` whose tables, next to `table`, it is newer than. Other files in `videos`
    stay. Raises `InputError` when the class is missing, when the archive is damaged, encrypted or
    not of that shape, when it would unpack to more than `max_bytes`, and when the disk is full;
    `videos` and `table` are then as they were.
    """
    archive, videos, table = Path(archive), Path(videos), Path(table)
    with explained_disk_errors(videos), _scratch(videos) as scratch:
        unpack = partial(_unpack_shares, archive, max_bytes)
        if _is_sequential(archive):
            waiting = [
                other for other in others if _is_older(table.with_name(f"{other}.tsv"), archive)
            ]
            solid_archives.take_share(archive, cls, waiting, scratch / "share", unpack)
        else:
            unpack([cls], scratch)
            (scratch / cls).rename(scratch / "share")
        files = _unpacked_videos(cls, scratch, max_bytes)
        _publish(files, videos)  # nothing can be refused from here on
        write_files_table(table, [videos / file.name for file in files])


def _is_sequential(archive: Path) -> bool:
    try:
        return archive_formats.is_sequential(archive)
    except FileNotFoundError as error:
        raise _no_archive(archive) from error
    except DamagedArchive as error:
        raise _damaged(archive, error) from error


def _is_older(table: Path, archive: Path) -> bool:
    """Tell whether the class of a table is still to be unpacked from this archive."""
    return not table.exists() or table.stat().st_mtime_ns < archive.stat().st_mtime_ns


def _unpack_shares(archive: Path, max_bytes: int, classes: Sequence[str], folder: Path) -> None:
    """Unpack what `archive` holds of each of `classes` to `<folder>/<class>`.

    The first class must be there; of the others, what is missing is reported by their own jobs.
    """
    members = list_members(archive)
    shares = {classes[0]: _share(archive, classes[0], members)}
    for cls in classes[1:]:
        try:
            shares[cls] = _share(archive, cls, members)
        except InputError:
            continue
    if len(shares) == 1:
        _unpack(archive, shares[classes[0]], folder / classes[0], max_bytes)
        return
    # In one pass over a solid archive, then to a folder a class.
    _unpack(archive, _joined(shares), folder / ".all", max_bytes * len(shares))
    for cls, share in shares.items():
        for name in share:
            target = folder / cls / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / ".all" / name).rename(target)
    shutil.rmtree(folder / ".all")


def _joined(shares: Mapping[str, Mapping[str, Member]]) -> dict[str, Member]:
    return {name: member for share in shares.values() for name, member in share.items()}


def _unpacked_videos(cls: str, scratch: Path, max_bytes: int) -> list[Path]:
    """Return the videos of a class's share in the scratch folder, once they are unpacked."""
    files = sorted(path for path in (scratch / "share").rglob("*") if path.is_file())
    # One file that is named as the class's archive: unpack it too, by the same rules.
    if len(files) > 1 or _class_of_archive(files[0].name) != normal(cls):
        return files
    videos = _class_videos(files[0], cls, list_members(files[0]), alone=True)
    _unpack(files[0], videos, scratch / "videos", max_bytes)
    return [scratch / "videos" / name for name in videos]


def unpack_splits(source: Path, classes: Sequence[str], folder: Path) -> None:
    """Write the official split files `<class>_test_split{1,2,3}.txt` of `classes` to `folder`.

    `source` is an archive or a folder of HMDB51's files of this name, which are taken as they
    are, or of UCF101's lists (see `split_files.class_files`); they lie at the top or in one folder.
    Raises `InputError` when a file or class is missing and for what `unpack_class` raises it;
    `folder` is then as it was.
    """
    source, folder = Path(source), Path(folder)
    with explained_disk_errors(folder), _scratch(folder) as scratch:
        if source.is_dir():
            paths = [path for path in sorted(source.glob("**/*.txt")) if path.is_file()]
        else:
            paths = _unpacked_lists(source, scratch / "lists")
        files = {path.name: path for path in paths if split_files.is_split_file(path.name)}
        (scratch / "splits").mkdir()
        _publish(split_files.class_files(files, classes, scratch / "splits", source), folder)


def _unpacked_lists(archive: Path, folder: Path) -> list[Path]:
    members = {
        name: member
        for name, member in list_members(archive).items()
        if split_files.is_split_file(PurePosixPath(name).name) and name.count("/") <= 1
    }
    if members:
        _unpack(archive, members, folder, MAX_SPLIT_BYTES * len(members))
    return [folder / name for name in members]


def list_members(archive: Path) -> dict[str, Member]:
    """Return the files in `archive` by name, in its order.

    Raises `InputError` for what no dataset has and a hostile archive may have: links, encryption,
    volumes, a name twice, and names that lead out of the folder.
    """
    members: dict[str, Member] = {}
    try:
        for number, entry in enumerate(archive_formats.read_entries(archive)):
            # The whole archive is refused for one bad member: no dataset has any, so what else such
            # an archive holds is not to be trusted either.
            _check_entry(archive, entry, members)
            if number == MAX_MEMBERS:
                raise _refused(archive, f"more than {MAX_MEMBERS} members")
            if entry.kind == "file":
                members[entry.name] = Member(entry.name, entry.size, entry.crc)
    except FileNotFoundError as error:
        raise _no_archive(archive) from error
    except DamagedArchive as error:
        raise _damaged(archive, error) from error
    if not members:
        raise _damaged(archive, "nothing in it")
    return members


def _check_entry(archive: Path, entry: Entry, seen: Mapping[str, Member]) -> None:
    name = entry.name
    if entry.locked:
        raise InputError(
            "The archive is encrypted.", where=archive, fix="use one without a password"
        )
    if entry.kind == "link":
        raise _refused(archive, f"{name} (a link)")
    # No absolute path, no way up, and nothing that some system reads as one: backslashes and drives
    # (Windows), control characters (terminals and logs).
    parts = name.removesuffix("/").split("/")
    if {"", ".", ".."} & set(parts) or re.search(r"[\\\x00-\x1f\x7f]|^[A-Za-z]:", name):
        raise _refused(archive, f"{name!r} (a name that may lead elsewhere)")
    longest = max(len(os.fsencode(part)) for part in parts)
    if longest > MAX_NAME_BYTES or len(os.fsencode(name)) > _MAX_PATH:
        size = (
            f"{longest} bytes" if longest > MAX_NAME_BYTES else f"a path of {len(name)} characters"
        )
        raise InputError(
            "The archive holds a name that is too long for a file system.",
            where=archive,
            found=f"{name[:60]}... ({size})",
            allowed=f"names of {MAX_NAME_BYTES} bytes in a path of {_MAX_PATH}",
            fix="unpack the archive with a tool that shortens names, and use `source: folder`",
        )
    if entry.volume:
        raise _refused(archive, f"{name} (one part of several volumes)")
    if name in seen:
        raise _refused(archive, f"{name} (twice)")


def _class_of_archive(name: str) -> str | None:
    """Return the class that a member of this name is the archive of."""
    file = normal(PurePosixPath(name).name)
    return next(
        (file[: -len(s)] for s in archive_formats.SUFFIXES if file.lower().endswith(s)), None
    )


def _share(archive: Path, cls: str, members: Mapping[str, Member]) -> dict[str, Member]:
    """Return what belongs to a class: an archive of its own, or else its videos."""
    nested = [name for name in members if _class_of_archive(name) == normal(cls)]
    if len(nested) > 1:
        raise _refused(archive, f"two archives of class {cls}: {some(nested)}")
    if nested:
        return {nested[0]: members[nested[0]]}
    if not any(normal(cls) in _folders(name) for name in members):
        raise _missing_class(archive, cls, members)
    return _class_videos(archive, cls, members, alone=False)


def _folders(name: str) -> tuple[str, ...]:
    return PurePosixPath(normal(name)).parts[:-1]


def _class_videos(
    archive: Path, cls: str, members: Mapping[str, Member], *, alone: bool
) -> dict[str, Member]:
    """Return the videos in folders named as the class; `alone`: nothing else may be there."""
    videos, strays = {}, []
    for name, member in members.items():
        folders = _folders(name)
        if folders[-1:] == (normal(cls),) and is_video(PurePosixPath(name).name):
            videos[name] = member
        elif alone or normal(cls) in folders:
            strays.append(name)
    if not videos or any(is_video(PurePosixPath(name).name) for name in strays):
        raise InputError(
            f"The archive of class {cls!r} does not hold {cls}/<video>.",
            where=archive.name,
            found=some(strays) or "nothing",
            allowed=", ".join(f"{cls}/*{suffix}" for suffix in SUFFIXES),
        )
    if strays:
        log.warning("Left in %s, not a video: %s", archive.name, some(strays))
    _refuse_equal_names(archive, videos)
    return videos


def _refuse_equal_names(archive: Path, members: Iterable[str]) -> None:
    """Raise `InputError` for files of one name in several folders: they go to one folder."""
    by_name = defaultdict(list)
    for member in members:
        by_name[PurePosixPath(member).name].append(member)
    equal = [" = ".join(same) for same in by_name.values() if len(same) > 1]
    if equal:
        raise InputError(
            "Two videos of one class have the same name.",
            where=archive.name,
            found=in_lines(equal),
            fix="unpack the archive, rename one of each, and use `source: folder`",
        )


def _unpack(archive: Path, members: Mapping[str, Member], folder: Path, max_bytes: int) -> None:
    """Unpack `members` into the new `folder`; what is there afterwards is what was listed."""
    # Headers may lie about sizes, so both are needed: this bound before, and `_verify` after.
    total = sum(member.size for member in members.values())
    if total > max_bytes:
        raise _refused(archive, f"{total} bytes once unpacked, more than {max_bytes}")
    folder.mkdir()
    _require_space(folder, total)
    try:
        archive_formats.extract(archive, list(members), folder)
        for member in members.values():
            _verify(folder, member)
    except DamagedArchive as error:
        raise _damaged(archive, error) from error


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            "There is not enough disk space to unpack.",
            where=folder.parent.parent,
            found=f"{free / 2**20:.1f} MiB free, {needed / 2**20:.1f} MiB needed",
            fix="free some space and run the same command again; finished work is kept",
        )


def _verify(folder: Path, member: Member) -> None:
    path = folder / member.name
    # A tool may have followed a link that the listing did not show, or changed the name.
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
    """Yield a temporary folder next to `target`, and remove those that killed jobs left.

    Waits for another job that unpacks to the same target.
    """
    parent = target.parent.resolve()
    name = hidden_name(target.name)
    parent.mkdir(parents=True, exist_ok=True)
    with locked(parent / f"{name}.lock", f"Another job is unpacking to {target}") as alone:
        for path in parent.iterdir() if alone else ():
            if re.fullmatch(re.escape(f"{name}.unpack-") + r"\w{8}", path.name):
                shutil.rmtree(path, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f"{name}.unpack-", dir=parent) as folder:
            yield Path(folder)


def _publish(files: Iterable[Path], target: Path) -> None:
    if target.is_symlink():  # to a user's own folder: dataset.source was folder before
        target.unlink()
    target.mkdir(exist_ok=True)
    for file in files:
        file.chmod(0o644)
        file.replace(target / file.name)


def _missing_class(archive: Path, cls: str, members: Iterable[str]) -> InputError:
    names = list(members)
    nested = {found for name in names if (found := _class_of_archive(name))}
    direct = {_folders(name)[-1] for name in names if is_video(name) and _folders(name)}
    if not nested | direct:
        return InputError(
            "The archive holds neither <class>.rar nor <class>/<video>.",
            where=archive,
            found=some(names) or "nothing",
            fix="set dataset.archives.videos to the archive that holds the videos",
        )
    return InputError(
        "A class is not in the archive.",
        where=archive,
        found=cls,
        allowed=sorted(nested | direct),
        fix="correct dataset.classes",
    )


def _no_archive(archive: Path) -> InputError:
    return InputError(
        "There is no such archive.",
        where=archive,
        fix=f"make it again: {snakemake_command('-f', archive, '--cores', 1)}",
    )


def _refused(archive: Path, found: str) -> InputError:
    return InputError(
        "The archive holds what no dataset needs, and is not unpacked.",
        where=archive,
        found=found,
        fix="use the official archive",
    )


def _damaged(archive: Path, error: object) -> InputError:
    return InputError(
        "The archive is damaged or of no known format.",
        where=archive,
        found=error,
        fix="delete it and run the same command again, which makes it again",
    )
