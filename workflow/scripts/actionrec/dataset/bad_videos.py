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
class BadVideo:
    """A video that cannot be used: its class, its path as the user knows it, and why."""

    cls: str
    path: str
    reason: str


def bad_videos(clips: Mapping[str, Iterable[FrameRecord]], videos: str | None) -> list[BadVideo]:
    """Return the bad videos of each class.

    `videos` is the folder that holds <class>/<file>; None where the records have whole paths.
    """
    return [
        BadVideo(cls, _path(cls, clip, videos), clip.reason)
        for cls, of_class in clips.items()
        for clip in of_class
        if not clip.usable
    ]


def _path(cls: str, clip: FrameRecord, videos: str | None) -> str:
    path = os.path.join(videos, cls, clip.file) if videos else clip.file  # noqa: PTH118 -- keeps ./
    # Segments of one file are told apart by the span in their names.
    return path if clip.display_name == clip.file else f"{path} ({clip.video})"


def require_tolerated(
    manifests: Mapping[str, Path], tolerate: int, videos: str | None, page: Path | None
) -> None:
    """Raise `InputError` if a class of `manifests` has more than `tolerate` bad videos.

    `page` shows them all.
    """
    clips = {cls: read_manifest(path) for cls, path in manifests.items()}
    bad = bad_videos(clips, videos)
    numbers = {cls: sum(not clip.usable for clip in of_class) for cls, of_class in clips.items()}
    over = {cls: number for cls, number in numbers.items() if number > tolerate}
    if not over:
        return
    of_classes = [
        f"{number} of {count(len(clips[cls]), 'video')} of class {cls}"
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
