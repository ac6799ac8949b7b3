"""The frame manifest of a class: what each video became, and whether the frames are still there.

The frames themselves are too many to declare to Snakemake, which sees this small table instead.
The Snakefile imports this module to ask `stale`, so it loads nothing heavy.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from actionrec.errors import some
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
