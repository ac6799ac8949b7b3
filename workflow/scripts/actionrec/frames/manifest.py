"""The frame manifest of a class: what each video became, and whether the frames are still there.

The frames themselves are too many to declare to Snakemake, which sees this small table instead.
The Snakefile imports this module for `staleness`, so it loads nothing heavy.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from actionrec.errors import snakemake_command, some
from actionrec.frames import references
from actionrec.frames.videos import folder_name
from actionrec.utils.files import sha256
from actionrec.utils.tables import read_records, write_records
from actionrec.utils.text import count

STATUSES = ("ok", "warn", "bad")
WOVEN = " woven"


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One video or segment of a class and the frames made from it.

    `video` is the name of its folder, `file`, `bytes` and `sha256` are the video file's ("" when it
    cannot be read; of a segment the file and the part of it). `suffix` is that of the image files,
    without a dot, or "video" where they stay in the video file. `format` is all that their pixels
    depend on besides the video ("png", "jpg 95", "png 320x240", "video", "png woven" of an
    interlaced one whose fields are left as they are). Both are "" for a bad video, which has no
    frames. `content` is the SHA-256 of the decoded frames' sizes and CRC-32, "" if none was
    decoded: equal videos may be in different files.

    The rest tells what the video is, and "" or 0 what is not known of a bad one: `codec` as FFmpeg
    names it, `rate_mode` "constant" or "variable", `orientation` how its pictures were turned to be
    shown as a player does ("rotated by 90° clockwise", "mirrored"; "" for not at all), `interlaced`
    the number of its frames that hold two moments, and the size that a player shows.
    """

    video: str
    file: str
    frames: int
    width: int
    height: int
    fps: float
    bytes: int
    sha256: str
    suffix: str
    format: str
    status: str
    reason: str
    content: str = ""
    codec: str = ""
    rate_mode: str = ""
    orientation: str = ""
    interlaced: int = 0
    source_width: int = 0
    source_height: int = 0

    def __post_init__(self) -> None:
        require_valid(self.video, self.status, STATUSES)

    @property
    def usable(self) -> bool:
        """Tell whether the video has frames."""
        return self.status != "bad"

    @property
    def undecoded(self) -> bool:
        """Tell whether its frames were listed by their packets: their pixels are unknown."""
        return self.suffix == references.SUFFIX and not self.content

    @property
    def woven(self) -> bool:
        """Tell whether its frames hold the lines of two moments each, as interlaced videos do."""
        return self.format.endswith(WOVEN)

    @property
    def display_name(self) -> str:
        """Return the file's name, or the segment's own where it is one of several of a file."""
        return self.file if folder_name(Path(self.file).stem) == self.video else self.video


def suffix_of(format: str) -> str:
    """Return the suffix, without its dot, of images in a `format` such as "png" or "jpg 95"."""
    return format.partition(" ")[0]


def require_valid(video: str, status: str, statuses: Collection[str]) -> None:
    """Raise `ValueError` unless `video` names one folder and `status` is one of `statuses`."""
    if status not in statuses or "/" in video or video in ("", ".", ".."):
        raise ValueError(f"video {video!r} with status {status!r}")


def write_manifest(path: Path, records: Iterable[FrameRecord]) -> None:
    """Write the records of a class, sorted by video."""
    write_records(path, FrameRecord, records)


def read_manifest(path: Path) -> list[FrameRecord]:
    """Return the records of a class, sorted by video.

    Raises `InputError` when the file is missing or is not a manifest.
    """
    return read_records(path, FrameRecord)


def repair_command(manifest: Path) -> str:
    """Return the command that makes a class's frames and manifest again."""
    return snakemake_command("-f", manifest, "--cores", os.cpu_count() or 1)


def video_hash(video: Path) -> str:
    """Return the SHA-256 of a video file, or "" when it cannot be read."""
    try:
        return sha256(video)
    except OSError:
        return ""


def frame_fault(folder: Path | str, number: int, suffix: str) -> str:
    """Return what is wrong with a frame folder, or "" when it holds frames 1 to `number` alone.

    With the suffix "video" that is a reference to a video that holds them and is there.
    """
    try:
        with os.scandir(folder) as entries:
            is_file = {entry.name: entry.is_file() for entry in entries}
    except OSError:
        return f"expected {count(number, 'frame')}, found no folder {Path(folder).name}"
    expected, found = _frame_names(number, suffix), is_file.keys()
    # A pipe among them would stop whoever opens it, for ever.
    if no_files := sorted(name for name in found if not is_file[name]):
        return f"no file, but a pipe, a folder or a broken link: {some(no_files, 3)}"
    if expected == found:
        return references.reference_fault(folder, number) if suffix == references.SUFFIX else ""
    strays = sorted(found - expected)
    stray = f", among them {some(strays, 3)}" if strays else ""
    return f"expected {count(number, f'{suffix} frame')}, found {count(len(found), 'file')}{stray}"


def frame_fault_since(made: int, folder: str, number: int, suffix: str) -> str:
    """Return what is wrong with a frame folder unless it is older than `made` (ns)."""
    try:  # thousands of these at every start: a Path costs as much as the call
        if os.stat(folder).st_mtime_ns < made:  # noqa: PTH116
            return ""
    except OSError:
        pass
    return frame_fault(folder, number, suffix)


@lru_cache(maxsize=1024)
def _frame_names(number: int, suffix: str) -> frozenset[str]:
    if suffix == references.SUFFIX:
        return frozenset([references.NAME])
    return frozenset(f"{index:06d}.{suffix}" for index in range(1, number + 1))
