"""Find what changed on disk without the tables knowing, so that outputs must be made again.

Snakemake sees the small tables, not the trees of videos and frames that they describe. The
functions compare the two for one class, fast enough for a dry run: by a few system calls a video.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from actionrec.errors import some
from actionrec.frames import references
from actionrec.frames.flow_manifest import FOLDERS, read_flow_manifest
from actionrec.frames.manifest import FrameRecord, frame_fault_since, read_manifest, video_hash
from actionrec.frames.segments import FrameSource, Segment, read_segments
from actionrec.frames.videos import is_video, read_files_table, video_names
from actionrec.utils.chunks import divide
from actionrec.utils.small_files import opening
from actionrec.utils.tables import DamagedTable, OtherTable
from actionrec.utils.text import count


def stale_frames(
    videos: Path, table: Path, frames: Path, manifests: Sequence[Path]
) -> dict[Path, str]:
    """Return which of `table` and `manifests` must be made again for one class, and why.

    A class has one manifest, or one for each of its chunks, in their order.

    Reads only, with two system calls a video: what is not newer than the manifest is taken as
    unchanged, what is newer is counted or hashed. Videos from an archive may be deleted once
    images of their frames are there; in a user's folder, which `videos` is then a link to, a
    deleted video is a change. Missing outputs are for Snakemake to notice and are not returned.
    """
    stale: dict[Path, str] = {}
    listed: dict[str, int] = {}
    unreadable = ""
    try:
        listed = read_files_table(table) if table.exists() else {}
    except (DamagedTable, OtherTable) as error:
        unreadable = stale[table] = _unreadable(table, error)
    found = dict(_scan_videos(videos))
    linked = videos.is_symlink()
    sizes = {name: stat.st_size for name, stat in found.items()}
    if differing := _listing_changes(listed, sizes) if linked else "":
        stale.setdefault(table, differing)
    gone = [] if linked else sorted(listed.keys() - found.keys())
    number = len(manifests)
    names = video_names(found) if number > 1 else {}
    chunks = zip(
        divide(found, number, names.__getitem__), _divided_folders(frames, number), strict=True
    )
    for manifest, (files, folders) in zip(manifests, chunks, strict=True):
        records, made, why = _read(manifest)
        if not why:
            # Which videos may be missing without being a change. In a user's folder: none. With
            # some unpacked videos left: those that the archive's table lists, not those that a
            # user had added. With none left, whoever deleted them all wanted the space and keeps
            # the frames. Frames that stay in their videos are lost with them.
            if linked or any(record.suffix == references.SUFFIX for record in records):
                may_be_gone: Collection[str] = set()
            else:
                may_be_gone = listed.keys() if found else {record.file for record in records}
            own = {file: found[file] for file in files}
            why = _video_changes(videos, records, own, may_be_gone, made)
            why = why or _frame_changes(frames, folders, records, made)
        if why and gone:
            # The frames cannot be made from videos that are gone: unpack them again first.
            stale[table] = f"frames must be made again and the videos are gone: {some(gone, 3)}"
        # The rules depend on each other by the table: made again, it takes the manifest along.
        if (why := differing or why) and manifest.exists():
            # A table of another source explains all other differences.
            stale[manifest] = unreadable or why
    return stale


def as_lines(stale: Mapping[Path, str], manifests: Sequence[Path]) -> list[str]:
    """Return what the plan says of the stale outputs of one class: the chunks share a line."""
    chunks = [path for path in manifests if path in stale] if len(manifests) > 1 else []
    outputs: dict[str, list[str]] = {}
    for path, why in stale.items():
        if path not in chunks:
            outputs.setdefault(why, []).append(str(path))
    if chunks:
        reasons = list(dict.fromkeys(stale[path] for path in chunks))
        more = [f"and {count(len(reasons) - 3, 'more reason')}"] if len(reasons) > 3 else []
        tables = f"{len(chunks)} of {count(len(manifests), 'table')} in {chunks[0].parent}"
        outputs.setdefault("; ".join([*reasons[:3], *more]), []).append(tables)
    return [f"{' and '.join(names)} will be remade: {why}" for why, names in outputs.items()]


def unreadable(manifest: Path) -> str:
    """Return why a manifest that is there cannot be used, or ""."""
    return _read(manifest)[2] if manifest.exists() else ""


def _read(manifest: Path) -> tuple[list[FrameRecord], int, str]:
    """Return the records of a manifest, when it was made (ns), and why it cannot be used or ""."""
    try:
        with opening(manifest):
            made = manifest.stat().st_mtime_ns
        return read_manifest(manifest), made, ""
    except FileNotFoundError:
        return [], 0, f"{manifest} is missing"
    except (DamagedTable, OtherTable) as error:
        return [], 0, _unreadable(manifest, error)


def _unreadable(table: Path, error: DamagedTable | OtherTable) -> str:
    """Say why a table cannot be used: another `dataset.source` left it, or it is damaged."""
    if isinstance(error, OtherTable):
        return f"{table} is of another dataset.source, or of another version"
    return f"{table} is damaged"


def _scan_videos(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_video(entry.name) and entry.is_file():
                    yield entry.name, entry.stat()
    except (FileNotFoundError, NotADirectoryError):
        return


def _listing_changes(listed: Mapping[str, int], found: Mapping[str, int]) -> str:
    """Return how the sizes of the videos that were `found` differ from those `listed`, or ""."""
    if added := sorted(found.keys() - listed.keys()):
        return f"videos added: {some(added, 3)}"
    if removed := sorted(listed.keys() - found.keys()):
        return f"videos removed: {some(removed, 3)}"
    replaced = sorted(name for name, size in found.items() if size != listed[name])
    return f"video replaced: {some(replaced, 3)}" if replaced else ""


def _video_changes(
    videos: Path,
    records: Iterable[FrameRecord],
    found: Mapping[str, os.stat_result],
    may_be_gone: Collection[str],
    made: int,
) -> str:
    """Return what differs between the videos and the manifest made at `made` (ns), or ""."""
    known = {record.file: record for record in records}
    removed = known.keys() - found.keys() - set(may_be_gone)
    if added := sorted(found.keys() - known.keys()):
        return f"videos added: {some(added, 3)}"
    if removed:
        return f"videos removed: {some(sorted(removed), 3)}"
    for name, stat in found.items():
        same_size = stat.st_size == known[name].bytes
        # Hashing every video would take minutes. A newer time alone proves nothing: a copied
        # project has new times everywhere, and is then hashed once, until the next manifest.
        newer = stat.st_mtime_ns >= made
        if not same_size or (newer and video_hash(videos / name) != known[name].sha256):
            return f"video replaced: {name}"
    return ""


def _divided_folders(frames: Path, number: int) -> list[set[str] | None]:
    """Return the names of the frame folders of each chunk; None without a folder of the class."""
    try:
        with os.scandir(frames) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return [None] * number
    return [set(of_chunk) for of_chunk in divide(names, number)]


def _frame_changes(
    frames: Path, folders: set[str] | None, records: Iterable[FrameRecord], made: int
) -> str:
    """Return what differs between frame folders and the manifest made at `made` (ns), or ""."""
    if folders is None:
        return f"no frames in {frames}"
    usable = {record.video: record for record in records if record.usable}
    if differing := sorted(usable.keys() ^ folders):
        return f"frame folders added or deleted: {some(differing, 3)}"
    for video, record in usable.items():
        folder = f"{frames}/{video}/rgb"
        if fault := frame_fault_since(made, folder, record.frames, record.suffix):
            return f"{video}: {fault}"
    return ""


def stale_segments(table: Path, frames: Path, manifests: Sequence[Path]) -> dict[Path, str]:
    """Return which of `table` and `manifests` must be made again for one class, and why.

    A class has one manifest, or one for each of its chunks, in their order.

    Reads only, with one system call a video and one a segment: a video that is not newer than the
    manifest is taken as unchanged. Missing outputs are for Snakemake to notice and are not
    returned.
    """
    if not table.exists():
        return {}
    try:
        segments = read_segments(table)
    except (DamagedTable, OtherTable) as error:
        return {table: _unreadable(table, error)}
    modified, changed = _times({segment.file: segment.bytes for segment in segments})
    if changed:
        return {path: changed for path in (table, *manifests) if path.exists()}
    stale = {}
    number = len(manifests)
    chunks = divide(segments, number, attrgetter("video")), _divided_folders(frames, number)
    for manifest, own, folders in zip(manifests, *chunks, strict=True):
        records, made, why = _read(manifest)
        if not why:
            known = {record.video: record.sha256 for record in records}
            newer = [segment for segment in own if modified[segment.file] >= made]
            why = _replaced_video(known, newer) or _frame_changes(frames, folders, records, made)
        if why and manifest.exists():
            stale[manifest] = why
    return stale


def _times(files: Mapping[str, int]) -> tuple[dict[str, int], str]:
    """Return when each file was changed (ns), and which one is gone or of another size, or ""."""
    times = {}
    for file, size in files.items():
        try:
            found = os.stat(file)  # noqa: PTH116
        except OSError:
            return {}, f"video gone: {file}"
        if found.st_size != size:
            return {}, f"video replaced: {file}"
        times[file] = found.st_mtime_ns
    return times, ""


def _replaced_video(known: Mapping[str, str], newer: Iterable[Segment]) -> str:
    """Return which video of `newer` segments is another one than that of the manifest, or "".

    `known` maps segments to the hashes in the manifest.
    """
    for segment in newer:
        # Of a whole video the hash is the file's, so it can be compared here. That of a part needs
        # the crops too: making its frames again, which compares it, is the simpler way.
        source = FrameSource(Path(segment.file), segment.file, segment.start, segment.end)
        if not source.whole or video_hash(source.path) != known.get(segment.video):
            return f"video newer than its frames: {segment.file}"
    return ""


def stale_flow(frames: Path, manifest: Path) -> str:
    """Return why the flow below `frames` is not what `manifest` says, or "".

    Reads only, with two system calls a video: folders that are not newer than the manifest are
    taken as unchanged. A missing manifest is for Snakemake to notice.
    """
    try:
        with opening(manifest):
            made = manifest.stat().st_mtime_ns
        records = read_flow_manifest(manifest)
    except FileNotFoundError:
        return ""
    except (DamagedTable, OtherTable) as error:
        return _unreadable(manifest, error)
    for record in records:
        for name in FOLDERS if record.usable else ():
            folder = f"{frames}/{record.video}/{name}"
            if fault := frame_fault_since(made, folder, record.images, "jpg"):
                return f"{record.video}/{name}: {fault}"
    return ""
