"""Use a user's folder of videos, one folder a class, where it is: `source: folder`."""

import os
from pathlib import Path

from actionrec.errors import InputError
from actionrec.frames.videos import SUFFIXES, list_videos, write_files_table
from actionrec.sources.file_names import on_disk
from actionrec.utils.files import replacing


def link_class(source: Path, link: Path, table: Path) -> None:
    """Make `link` point at a user's class folder and list its videos in `table`.

    Raises `InputError` when the folder is missing or without videos, or when real videos are
    where the link should go.
    """
    source = require_class(source)
    videos = list_videos(source)
    if not videos:
        raise InputError(
            f"The class {source.name!r} has no videos.",
            where=source,
            allowed=", ".join(f"*{suffix}" for suffix in SUFFIXES),
            fix="put videos there, or take the class out of dataset.classes",
        )
    if link.is_dir() and not link.is_symlink():
        raise InputError(
            "A folder of videos is where a link to dataset.path should go.",
            where=link,
            fix="choose another dataset.name, or move that folder away",
        )
    with replacing(link) as part:
        part.symlink_to(_link_target(source.resolve(), link.parent.resolve()))
    write_files_table(table, videos)


def require_class(source: Path) -> Path:
    """Return a user's class folder as it is called on disk; raise `InputError` without one."""
    source = on_disk(source)
    if source.is_dir():
        return source
    if not source.parent.is_dir():
        raise InputError(
            "dataset.path is not a folder.",
            where="dataset.path",
            found=source.parent,
            fix="correct dataset.path; it holds a folder for each class",
        )
    raise InputError(
        "A class has no folder in dataset.path.",
        where=source.parent,
        found=source.name,
        allowed=sorted(path.name for path in source.parent.iterdir() if path.is_dir()),
        fix="correct dataset.classes, or add the folder",
    )


def _link_target(source: Path, folder: Path) -> str:
    """Return what the link holds: a relative path inside the project, so that it can be moved."""
    inside = source.is_relative_to(Path.cwd().resolve())
    return os.path.relpath(source, folder) if inside else str(source)
