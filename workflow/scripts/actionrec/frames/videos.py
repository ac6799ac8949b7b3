"""The videos of a class: which files they are, and the names that their frames go by.

The Snakefile imports this module, so it loads nothing heavy; `decoder` reads what is in a video.
"""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from actionrec.errors import some
from actionrec.utils.tables import damaged, read_table, write_table

# Of files that differ by suffix alone the first in this order keeps the name without one: official
# split files name .avi files.
SUFFIXES = (
    *(".avi", ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".flv", ".wmv", ".asf"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
)
COLUMNS = ("file", "bytes")

log = logging.getLogger(__name__)


def is_video(name: str) -> bool:
    """Tell whether a file of this name counts as a video."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def list_videos(folder: Path) -> list[Path]:
    """Return the videos in `folder`, sorted by name; a warning names the other entries."""
    videos, others = [], []
    for path in sorted(folder.iterdir()):
        if is_video(path.name) and path.is_file():
            videos.append(path)
        elif not path.name.startswith("."):
            others.append(path.name)
    if others:
        log.warning("Ignored in %s, not a video: %s", folder, some(others))
    return videos


def folder_name(name: str) -> str:
    """Return the name that the frames of a video go by: text that every program can read.

    Bytes that are no UTF-8 are taken for what Windows writes in Western Europe; characters that
    move a cursor or end a line, and a slash, become `_`.
    """
    text = re.sub("[\udc80-\udcff]", _from_windows, name)
    return re.sub(r"[/\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", "_", text)


def _from_windows(byte: re.Match[str]) -> str:
    return os.fsencode(byte[0]).decode("cp1252", "replace")


def video_names(files: Iterable[str]) -> dict[str, str]:
    """Return file name -> the video's name, which is that of its folder of frames.

    It is the file's name without the suffix, as split files and TAO have it, made safe for all
    programs (`folder_name`). Of files that differ by suffix alone, all but the first in the order
    of SUFFIXES keep theirs: `a.avi` becomes `a` and `a.mp4` becomes `a.mp4`. So a file that is
    added or removed renames another one only if they differ by suffix alone and its own suffix
    comes first.
    """
    files = set(files)
    stems = {folder_name(PurePath(file).stem) for file in files}
    names: dict[str, str] = {}
    for file in sorted(files, key=_by_stem_and_suffix):
        path = PurePath(file)
        name = folder_name(path.stem)
        if name in names:
            name = folder_name(file)
            while name in stems or name in names:  # as for a.mp4 where there is a.mp4.avi too
                name += path.suffix
        names[name] = file
    return {file: name for name, file in names.items()}


def _by_stem_and_suffix(file: str) -> tuple[str, bool, int, str]:
    path = PurePath(file)
    suffix = path.suffix.lower()
    rank = SUFFIXES.index(suffix) if suffix in SUFFIXES else len(SUFFIXES)
    # A name that stays as it is comes before those that become the same.
    return folder_name(path.stem), folder_name(path.stem) != path.stem, rank, file


def write_files_table(table: Path, videos: Sequence[Path]) -> None:
    """Write the table of a class's videos: file and bytes, sorted by file."""
    write_table(table, COLUMNS, sorted((path.name, path.stat().st_size) for path in videos))


def read_files_table(table: Path) -> dict[str, int]:
    """Return file name -> bytes; raise `InputError` when it is not such a table."""
    try:
        return {name: int(size) for name, size in read_table(table, COLUMNS)}
    except ValueError as error:
        raise damaged(table, error) from error
