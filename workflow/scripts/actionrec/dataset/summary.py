"""Summarise a dataset: what there is, what is wrong with it, and how the splits divide it."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from actionrec.dataset import leakage
from actionrec.dataset.bad_videos import bad_videos
from actionrec.dataset.distributions import length_histograms, videos_by_source
from actionrec.dataset.fingerprints import Alike, find_alike
from actionrec.dataset.mirrored_classes import mirrored_pairs
from actionrec.dataset.source_videos import Key, file_names, source_finder, unique_sources
from actionrec.dataset.split_table import PARTS
from actionrec.dataset.splits import (
    ClassFiles,
    Records,
    SplitSettings,
    decide,
    groups_of_parts,
)
from actionrec.errors import InputError
from actionrec.frames.manifest import STATUSES, FrameRecord, read_manifest
from actionrec.utils.files import write_text


def summarise(
    files: ClassFiles,
    output: Path | str,
    *,
    frames: Path | str,
    settings: SplitSettings,
    official: Mapping[int, Mapping[str, Path]],
    videos: str | None = None,
    threads: int = 1,
) -> None:
    """Write dataset.json: counts, lengths, sizes, rates, bad videos, duplicates and the splits.

    `frames` holds <class>/<video>/rgb, `videos` <class>/<file> unless the tables have whole paths.
    `official` has a key for the number of each split, and the split files of the classes where
    these decide. A split that cannot be made is reported with the problem, and stops nothing.
    """
    records = {cls: read_manifest(path) for cls, path in files.manifests.items()}
    alike = find_alike(records, Path(frames), threads)
    names = file_names(records)
    splits = {}
    for number, paths in official.items():
        of_split = replace(files, official=paths)
        splits[str(number)] = _split(of_split, settings, number, names, alike)
    content = {
        **_contents(records),
        "bad": [
            {"class": video.cls, "file": video.path, "reason": video.reason}
            for video in bad_videos(records, videos)
        ],
        "look_alikes": _joined(alike.copies),
        "mirrored": _joined(alike.mirrored),
        "places": _joined(alike.places),
        "compared": {
            "by_look": alike.compared,
            "flat": alike.flat,
            "too_many": alike.many,
            "undecoded": alike.undecoded,
        },
        "sources": _sources(records, settings, names),
        "splits": splits,
    }
    write_text(output, json.dumps(content, indent=2) + "\n")


def official_files(
    classes: Sequence[str], numbers: Sequence[int], paths: Sequence[str]
) -> dict[int, dict[str, Path]]:
    """Return split number -> class -> its official file, from paths listed split by split.

    This is how a rule has them; without official files there are no paths.
    """
    rest = map(Path, paths)
    return {number: dict(zip(classes, rest, strict=False)) for number in numbers}


def _contents(records: Records) -> dict[str, Any]:
    """Return what there is of videos, and what is wrong with them."""
    pairs = [(cls, record) for cls, of_class in records.items() for record in of_class]
    usable = [record for _, record in pairs if record.usable]
    return {
        "classes": {cls: _counts(of_class) for cls, of_class in records.items()},
        "total": _counts([record for _, record in pairs]),
        "lengths": length_histograms(
            {cls: [r.frames for r in of_class if r.usable] for cls, of_class in records.items()}
        ),
        "sizes": _tally(source_size(record) for record in usable),
        "stored_sizes": _tally(f"{record.width}x{record.height}" for record in usable),
        "codecs": _tally(record.codec or "unknown" for record in usable),
        "fps": _tally(rate(record) for record in usable),
        "orientations": _tally(record.orientation for record in usable if record.orientation),
        "interlaced": sum(record.interlaced > 0 for record in usable),
        "formats": _tally(record.format for record in usable),
        "remarks": _tally(record.reason for record in usable if record.reason),
        "duplicates": leakage.find_duplicates(records),
        "conflicts": leakage.find_conflicts(records),
        "mirrored_classes": [list(pair) for pair in mirrored_pairs(records)],
    }


def source_size(record: FrameRecord) -> str:
    """Return the width and height of a video as a player shows it, not of its stored frames."""
    width, height = record.source_width or record.width, record.source_height or record.height
    return f"{width}x{height}"


def rate(record: FrameRecord) -> str:
    """Return the frames a second, an average where they vary."""
    return f"{record.fps:g}" + (", variable" if record.rate_mode == "variable" else "")


def _joined(groups: Sequence[Sequence[Key]]) -> list[list[str]]:
    return [[f"{cls}/{video}" for cls, video in group] for group in groups]


def _sources(records: Records, settings: SplitSettings, names: Mapping[Key, str]) -> dict[str, Any]:
    """Return how many source videos there are, and by which rule, "" for none."""
    source_of = source_finder(None, names)
    with suppress(InputError):  # a pattern that cannot work: the splits say so
        source_of = source_finder(settings.source_video, names)
    keys = [
        (cls, record.video)
        for cls, of_class in records.items()
        for record in of_class
        if record.usable
    ]
    sources = set(unique_sources(keys, source_of, names).values())
    return {"videos": len(keys), "sources": len(sources), "rule": settings.source_video or ""}


def _counts(records: Sequence[FrameRecord]) -> dict[str, Any]:
    statuses = Counter(record.status for record in records)
    lengths = [record.frames for record in records if record.usable]
    return {
        "videos": len(records),
        **{status: statuses[status] for status in STATUSES},
        "frames": sum(lengths),
        "seconds": round(
            sum(record.frames / record.fps for record in records if record.fps > 0), 1
        ),
        "shortest": min(lengths, default=0),
        "median": statistics.median_low(lengths) if lengths else 0,
        "longest": max(lengths, default=0),
    }


def _tally(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _split(
    files: ClassFiles,
    settings: SplitSettings,
    number: int,
    names: Mapping[Key, str],
    alike: Alike,
) -> dict[str, Any]:
    """Return the videos of each class in each part, and the leaks between the parts."""
    # The page shows all splits: one that cannot be made is a finding among others.
    try:
        rows = decide(files, settings, number)
    except InputError as error:
        return {"problem": str(error)}
    source_of = source_finder(settings.source_video, names)
    sources = unique_sources(((row.cls, row.video) for row in rows), source_of, names)
    counts = Counter((row.cls, row.part) for row in rows)
    group_of = files.group_of()
    leaks = leakage.leaks(rows, sources, group_of, alike)
    return {
        "classes": {cls: {part: counts[cls, part] for part in PARTS} for cls in files.manifests},
        "videos": {part: sum(row.part == part for row in rows) for part in PARTS},
        "sources": groups_of_parts(rows, sources),
        "groups": groups_of_parts(rows, group_of),
        "videos_by_source": videos_by_source(rows, sources),
        "videos_by_group": videos_by_source(rows, group_of),
        "leaks": {kind: [videos for videos, _ in found] for kind, found in leaks.items()},
        "leak_names": {kind: [name for _, name in leaks[kind]] for kind in leakage.NAMED},
    }
