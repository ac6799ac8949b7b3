"""The frame manifest of a class: what each video became, and whether the frames are still there.

The frames themselves are too many to declare to Snakemake, which sees this small table instead.
The Snakefile imports this module to ask `stale`, so it loads nothing heavy.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from actionrec.errors import InputError, some
from actionrec.frames.videos import is_video, read_files_table
from actionrec.utils.files import sha256
from actionrec.utils.tables import read_records, write_records

STATUSES = ("ok", "warn", "bad")


@dataclass(frozen=True)
class Clip:
    """One video of a class and the frames made from it.

    `video` is the name without suffix, `bytes` and `sha256` are the file's ("" when it cannot be
    read), `format` is how the frames are stored ("png", or "jpg" and its quality; "" for a bad
    video, which has none), `content` tells the decoded frames from others ("" for a bad
    video): the SHA-256 of their sizes and CRC-32, since equal videos may be in different files.
    """

    video: str
    file: str
    frames: int
    width: int
    height: int
    fps: float
    bytes: int
    sha256: str
    format: str
    status: str
    reason: str
    content: str = ""

    def __post_init__(self) -> None:
        require_known(self.video, self.status, STATUSES)

    @property
    def usable(self) -> bool:
        """Tell whether the video has frames."""
        return self.status != "bad"

    @property
    def label(self) -> str:
        """Return the file's name, or the clip's own where it is one of several of a file."""
        return self.file if Path(self.file).stem == self.video else self.video

    @property
    def suffix(self) -> str:
        """Return the suffix of the frame files, without its dot."""
        return suffix_of(self.format)


def suffix_of(format: str) -> str:
    """Return the suffix, without its dot, of frames in a `format` such as "png" or "jpg 95"."""
    return format.partition(" ")[0]


def require_known(video: str, status: str, statuses: Collection[str]) -> None:
    """Raise `ValueError` unless `video` names one folder and `status` is one of `statuses`."""
    if status not in statuses or "/" in video or video in ("", ".", ".."):
        raise ValueError(f"video {video!r} with status {status!r}")


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """Write the clips of a class, sorted by video."""
    write_records(path, Clip, clips)


def read_manifest(path: Path) -> list[Clip]:
    """Return the clips of a class, sorted by video.

    Raises `InputError` when the file is missing or is not a manifest.
    """
    return read_records(path, Clip)


def repair_command(manifest: Path) -> str:
    """Return the command that makes a class's frames and manifest anew."""
    return f"snakemake -f {manifest} --cores {os.cpu_count() or 1}"


def fingerprint(video: Path) -> str:
    """Return the SHA-256 of a video, or "" when it cannot be read."""
    try:
        return sha256(video)
    except OSError:
        return ""


def frame_fault(folder: Path | str, count: int, suffix: str) -> str:
    """Return what is wrong with a frame folder, or "" when it holds frames 1 to `count` alone."""
    try:
        with os.scandir(folder) as entries:
            found = {entry.name for entry in entries}
    except OSError:
        return f"expected {count} frames, found no folder {Path(folder).name}"
    expected = _frame_names(count, suffix)
    if expected == found:
        return ""
    strays = sorted(found - expected)
    stray = f", among them {some(strays, 3)}" if strays else ""
    return f"expected {count} {suffix} frames, found {len(found)} files{stray}"


def frame_fault_since(made: int, folder: str, count: int, suffix: str) -> str:
    """Return what is wrong with a frame folder unless it is older than `made` (ns)."""
    try:  # thousands of these at every start: a Path costs as much as the call
        if os.stat(folder).st_mtime_ns < made:  # noqa: PTH116
            return ""
    except OSError:
        pass
    return frame_fault(folder, count, suffix)


@lru_cache(maxsize=1024)
def _frame_names(count: int, suffix: str) -> frozenset[str]:
    return frozenset(f"{number:06d}.{suffix}" for number in range(1, count + 1))


def stale(videos: Path, table: Path, frames: Path, manifest: Path) -> dict[Path, str]:
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
