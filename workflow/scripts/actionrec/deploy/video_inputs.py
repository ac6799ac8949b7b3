"""What a user wants predicted: files, folders, lists, a camera, an address."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from actionrec.errors import InputError
from actionrec.frames.videos import SUFFIXES, is_video
from actionrec.utils.small_files import DamagedFile
from actionrec.utils.tables import read_csv

_ADDRESS = re.compile(r"^(rtsp|rtsps|rtmp|http|https|udp|srt|tcp)://", re.IGNORECASE)
_COLUMNS = ("video", "file", "path", "filename")  # of a list, the first that is there


def is_live(source: str) -> bool:
    """Tell whether a source is a camera's index or an address; a file of that name comes first."""
    return bool(_ADDRESS.match(source)) or (source.isdecimal() and not Path(source).exists())


def find_videos(sources: Sequence[str]) -> list[Path]:
    """Return the videos of files, of folders and those below them, and of CSV lists.

    Each comes once, in the order given; those of a folder by name. A list has a header with a
    column `video`, `file` or `path`, or one path a line. Raises `InputError` for what is not there.
    """
    found = dict.fromkeys(path for source in sources for path in _videos_of(Path(source)))
    return list(found)


def _videos_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        videos = [file for file in sorted(path.rglob("*")) if is_video(file.name)]
        if not videos:
            suffixes = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
            raise InputError("The folder holds no videos.", where=path, allowed=suffixes)
        yield from videos
    elif path.suffix.lower() in (".csv", ".txt", ".lst"):
        yield from _listed(path)
    elif path.exists():
        yield path
    else:
        raise InputError(
            "There is no such video.",
            where=path,
            allowed="a file, a folder, a list (.csv), a camera's number, rtsp://... or http://...",
            fix="correct the path",
        )


def _listed(path: Path) -> Iterator[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        header = lines[0].split(",") if lines else []
        column = next((name for name in _COLUMNS if name in header), None)
        names = [row[column] for row in read_csv(path)] if column else list(map(str.strip, lines))
    except (OSError, UnicodeDecodeError, DamagedFile) as error:
        raise InputError(
            "The list of videos cannot be read.",
            where=path,
            found=error.found if isinstance(error, DamagedFile) else error,
            fix="correct its rights, or save it as CSV in UTF-8",
        ) from error
    missing = []
    for name in filter(None, names):
        video = Path(name) if Path(name).is_absolute() else path.parent / name
        if video.exists():
            yield video
        else:
            missing.append(name)
    if missing:
        raise InputError(
            f"{len(missing)} of the listed videos are not there.",
            where=path,
            found=", ".join(missing[:5]),
            fix="paths are relative to the list; name the column video, file or path",
        )
