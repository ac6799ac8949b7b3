"""Name the videos that cannot be used, and refuse a split when a class has too many of them."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from actionrec.errors import InputError, in_lines, some
from actionrec.frames.manifest import FrameRecord, read_manifest
from actionrec.utils.text import count

_NAMED = 20  # in a message; the page has more, the table all


@dataclass(frozen=True)
class UnusableVideo:
    """A video that cannot be used: its class, its path as the user knows it, and why."""

    cls: str
    path: str
    reason: str


def bad_videos(
    records: Mapping[str, Iterable[FrameRecord]], videos: str | None
) -> list[UnusableVideo]:
    """Return the bad videos of each class.

    `videos` is the folder that holds <class>/<file>; None where the records have whole paths.
    """
    return [
        UnusableVideo(cls, _path(cls, record, videos), record.reason)
        for cls, of_class in records.items()
        for record in of_class
        if not record.usable
    ]


def _path(cls: str, record: FrameRecord, videos: str | None) -> str:
    path = os.path.join(videos, cls, record.file) if videos else record.file  # noqa: PTH118 -- keeps ./
    # Segments of one file are told apart by the span in their names.
    return path if record.display_name == record.file else f"{path} ({record.video})"


def require_tolerated(
    manifests: Mapping[str, Path], tolerate: int, videos: str | None, page: Path | None
) -> None:
    """Raise `InputError` if a class of `manifests` has more than `tolerate` bad videos.

    `page` shows them all.
    """
    records = {cls: read_manifest(path) for cls, path in manifests.items()}
    bad = bad_videos(records, videos)
    numbers = {
        cls: sum(not record.usable for record in of_class) for cls, of_class in records.items()
    }
    over = {cls: number for cls, number in numbers.items() if number > tolerate}
    if not over:
        return
    of_classes = [
        f"{number} of {count(len(records[cls]), 'video')} of class {cls}"
        for cls, number in over.items()
    ]
    named = [f"{video.path} {video.reason}" for video in bad if video.cls in over]
    raise InputError(
        f"Too many videos cannot be used: {some(of_classes)}; frames.tolerate is {tolerate}.",
        where=f"{page}, which shows them all" if page else "the tables of frames",
        found=in_lines(named, _NAMED),
        fix="repair, replace or remove them; or leave them out, up to so many of each class: set "
        f"frames.tolerate to {max(over.values())} in the configuration",
    )
