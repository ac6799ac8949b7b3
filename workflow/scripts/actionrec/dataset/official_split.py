"""Divide videos as the dataset's official split files say, once the two are known to agree."""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from actionrec.dataset.split_table import Parts
from actionrec.errors import InputError, in_lines
from actionrec.frames.manifest import read_manifest
from actionrec.sources.split_files import CLASS_FILE, read_class_file
from actionrec.utils.text import count

FRACTION = "set splits.method to fraction"

log = logging.getLogger(__name__)


def official_parts(
    manifests: Mapping[str, Path], official: Mapping[str, Path], number: int
) -> Parts:
    """Return the part of each video by the files of split `number`; None for an unused one.

    Both mappings are by class. A warning names the videos that no file mentions. Raises
    `InputError` for a class without a file, and with every name in the files that has no video.
    """
    _require_files(manifests, official, number)
    parts: Parts = {cls: read_class_file(official[cls]) for cls in manifests}
    videos = {
        cls: {record.video for record in read_manifest(path)} for cls, path in manifests.items()
    }
    lost = [
        f"{cls}: {name} has no video"
        for cls, named in parts.items()
        for name in sorted(named.keys() - videos[cls])
    ]
    unlisted = [
        f"{cls}: {name} is in no split file"
        for cls, named in parts.items()
        for name in sorted(videos[cls] - named.keys())
    ]
    if not any(named.keys() & videos[cls] for cls, named in parts.items()):
        raise _of_another_dataset(number, lost, unlisted)
    if lost:
        faults = lost + unlisted
        raise InputError(
            f"{count(len(faults), 'mismatch')} between the videos and the files of split {number}.",
            where=official[next(iter(manifests))].parent,
            found=in_lines(faults, limit=len(faults)),
            fix=f"add or remove these videos or lines, or {FRACTION}",
        )
    if unlisted:
        log.warning("Not used, as the official split %d says nothing of it: %s", number, unlisted)
    return parts


def _require_files(classes: Collection[str], official: Mapping[str, Path], number: int) -> None:
    """Raise `InputError` unless each class has its own file of the split."""
    missing = [cls for cls in classes if cls not in official or not official[cls].is_file()]
    if missing:
        raise InputError(
            f"Classes without an official file of split {number}.",
            where="splits.method: official",
            found=in_lines([_file_name(cls, number) for cls in missing]),
            fix=f"correct dataset.classes, or {FRACTION}",
        )
    for cls in classes:
        match = CLASS_FILE.fullmatch(official[cls].name)
        if not match or match.groups() != (cls, str(number)):
            raise InputError(
                "Not this class's split file.",
                found=official[cls],
                allowed=[_file_name(cls, number)],
            )


def _file_name(cls: str, number: int) -> str:
    return f"{cls}_test_split{number}.txt"


def _of_another_dataset(number: int, lost: Sequence[str], unlisted: Sequence[str]) -> InputError:
    """Return one message for files of another dataset, rather than thousands of mismatches."""
    return InputError(
        f"The files of split {number} are of another dataset: they name none of the videos.",
        where="dataset.archives.splits",
        found=in_lines([*lost[:3], *unlisted[:3]]),
        fix=f"name the archive of this dataset's split files, or {FRACTION}",
    )
