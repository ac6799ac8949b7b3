"""Find what was changed on disk behind the tables, whose outputs must then be made again."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from actionrec.errors import InputError, some
from actionrec.frames.flow_manifest import FOLDERS, read_flow_manifest
from actionrec.frames.manifest import Clip, fingerprint, frame_fault_since, read_manifest
from actionrec.frames.segments import Cut, Source, identity, read_cuts
from actionrec.frames.videos import is_video, read_files_table


def stale_frames(videos: Path, table: Path, frames: Path, manifest: Path) -> dict[Path, str]:
    """Return which of `table` and `manifest` must be remade for one class, and why.

    Reads only, with two system calls a video: what is not newer than the manifest is taken as
    unchanged, what is newer is counted or hashed. Videos from an archive may be deleted once
    their frames are there; in a user's folder, which `videos` is then a link to, a deleted video
    is a change. Missing outputs are Snakemake's own business and not returned.
    """
    outputs = {}
    listed: dict[str, int] = {}
    try:
        listed = read_files_table(table) if table.exists() else {}
    except InputError:
        outputs[table] = f"{table} is damaged"
    found = dict(_scan_videos(videos))
    linked = videos.is_symlink()
    try:
        made = manifest.stat().st_mtime_ns
        clips = read_manifest(manifest)
    except (FileNotFoundError, InputError):
        why = f"{manifest} is missing or damaged"
    else:
        may_go = set() if linked else listed.keys() if found else {clip.file for clip in clips}
        why = _video_changes(videos, clips, found, may_go, made) or frame_changes(
            frames, clips, made
        )
    if linked and {name: stat.st_size for name, stat in found.items()} != listed:
        outputs[table] = why = why or f"{table} lists other videos than {videos} holds"
    elif why and not linked and (gone := sorted(listed.keys() - found.keys())):
        outputs[table] = f"frames must be made again and the videos are gone: {some(gone, 3)}"
    if why and manifest.exists():
        outputs[manifest] = why
    return outputs


def _scan_videos(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_video(entry.name) and entry.is_file():
                    yield entry.name, entry.stat()
    except (FileNotFoundError, NotADirectoryError):
        return


def _video_changes(
    videos: Path,
    clips: Iterable[Clip],
    found: Mapping[str, os.stat_result],
    may_go: Collection[str],
    made: int,
) -> str:
    """Return what differs between the videos and the manifest made at `made` (ns), or ""."""
    known = {clip.file: clip for clip in clips}
    removed = known.keys() - found.keys() - set(may_go)
    if added := sorted(found.keys() - known.keys()):
        return f"videos added: {some(added, 3)}"
    if removed:
        return f"videos removed: {some(sorted(removed), 3)}"
    for name, stat in found.items():
        same_size = stat.st_size == known[name].bytes
        newer = stat.st_mtime_ns >= made
        if not same_size or (newer and fingerprint(videos / name) != known[name].sha256):
            return f"video replaced: {name}"
    return ""


def frame_changes(frames: Path, clips: Iterable[Clip], made: int) -> str:
    """Return what differs between the frames and the manifest made at `made` (ns), or ""."""
    usable = {clip.video: clip for clip in clips if clip.usable}
    try:
        with os.scandir(frames) as entries:
            folders = {entry.name for entry in entries if not entry.name.startswith(".")}
    except OSError:
        return f"no frames in {frames}"
    if differing := sorted(usable.keys() ^ folders):
        return f"frame folders added or deleted: {some(differing, 3)}"
    for video, clip in usable.items():
        if fault := frame_fault_since(made, f"{frames}/{video}/rgb", clip.frames, clip.suffix):
            return f"{video}: {fault}"
    return ""


def stale_segments(table: Path, frames: Path, manifest: Path) -> dict[Path, str]:
    """Return which of `table` and `manifest` must be remade for one class, and why.

    Reads only, with two system calls a clip: a video that is not newer than the manifest is taken
    as unchanged. Missing outputs are Snakemake's own business and not returned.
    """
    if not table.exists():
        return {}
    try:
        cuts = read_cuts(table)
    except InputError:
        return {table: f"{table} is damaged"}
    if changed := _changed_video({cut.file: cut.bytes for cut in cuts}):
        return {path: changed for path in (table, manifest) if path.exists()}
    try:
        made = manifest.stat().st_mtime_ns
        clips = read_manifest(manifest)
    except (FileNotFoundError, InputError):
        return {manifest: f"{manifest} is damaged"} if manifest.exists() else {}
    why = _replaced_video(table, {clip.video: clip.sha256 for clip in clips}, cuts, made)
    why = why or frame_changes(frames, clips, made)
    return {manifest: why} if why else {}


def _changed_video(files: Mapping[str, int]) -> str:
    for file, size in files.items():
        try:
            if os.stat(file).st_size != size:  # noqa: PTH116
                return f"video replaced: {file}"
        except OSError:
            return f"video gone: {file}"
    return ""


def _replaced_video(table: Path, known: Mapping[str, str], cuts: Sequence[Cut], made: int) -> str:
    """Return which video is newer than the manifest made at `made` (ns) and another one, or ""."""
    for cut in cuts:
        if os.stat(cut.file).st_mtime_ns < made:  # noqa: PTH116
            continue
        source = Source(Path(cut.file), cut.file, cut.start, cut.end)
        if source.whole and identity(source, fingerprint(source.path)) == known.get(cut.video):
            continue
        return f"video newer than its frames: {cut.file}"
    return ""


def stale_flow(frames: Path, manifest: Path) -> str:
    """Return why the flow below `frames` is not what `manifest` says, or "".

    Reads only, with two system calls a video: folders that are not newer than the manifest are
    taken as unchanged. A missing manifest is Snakemake's own business.
    """
    try:
        made = manifest.stat().st_mtime_ns
        flows = read_flow_manifest(manifest)
    except FileNotFoundError:
        return ""
    except InputError:
        return f"{manifest} is damaged"
    for flow in flows:
        for name in FOLDERS if flow.usable else ():
            folder = f"{frames}/{flow.video}/{name}"
            if fault := frame_fault_since(made, folder, flow.images, "jpg"):
                return f"{flow.video}/{name}: {fault}"
    return ""
