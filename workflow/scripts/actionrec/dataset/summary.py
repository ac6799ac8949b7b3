"""Summarise a dataset: what there is, what is wrong with it, and how the splits divide it."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actionrec.dataset import leakage
from actionrec.dataset.source_videos import Key, file_names, source_finder, unique_sources
from actionrec.dataset.split_table import PARTS
from actionrec.dataset.splits import ClassFiles, Clips, SplitSettings, decide
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
    threads: int = 1,
) -> None:
    """Write dataset.json: counts, lengths, sizes, rates, bad videos, duplicates and the splits.

    `frames` holds <class>/<video>/rgb. `official` has a key for the number of each split, and the
    split files of the classes where these decide. A split that cannot be made is reported with the
    problem, and stops nothing.
    """
    clips = {cls: read_manifest(path) for cls, path in files.manifests.items()}
    near_duplicates = leakage.find_near_duplicates(clips, Path(frames), threads)
    names = file_names(clips)
    splits = {}
    for number, paths in official.items():
        of_split = replace(files, official=paths)
        splits[str(number)] = _split(of_split, settings, number, names, near_duplicates)
    content = {
        **_contents(clips),
        "look_alikes": [[f"{cls}/{video}" for cls, video in group] for group in near_duplicates],
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


def _contents(clips: Clips) -> dict[str, Any]:
    """Return what there is of videos, and what is wrong with them."""
    pairs = [(cls, clip) for cls, of_class in clips.items() for clip in of_class]
    usable = [clip for _, clip in pairs if clip.usable]
    return {
        "classes": {cls: _counts(of_class) for cls, of_class in clips.items()},
        "total": _counts([clip for _, clip in pairs]),
        "sizes": _tally(f"{clip.width}x{clip.height}" for clip in usable),
        "fps": _tally(f"{clip.fps:g}" for clip in usable),
        "formats": _tally(clip.format for clip in usable),
        "remarks": _tally(clip.reason for clip in usable if clip.reason),
        "bad": [
            {"class": cls, "file": clip.display_name, "reason": clip.reason}
            for cls, clip in pairs
            if not clip.usable
        ],
        "duplicates": leakage.find_duplicates(clips),
        "conflicts": leakage.find_conflicts(clips),
    }


def _counts(clips: Sequence[FrameRecord]) -> dict[str, Any]:
    statuses = Counter(clip.status for clip in clips)
    lengths = [clip.frames for clip in clips if clip.usable]
    return {
        "videos": len(clips),
        **{status: statuses[status] for status in STATUSES},
        "frames": sum(lengths),
        "seconds": round(sum(clip.frames / clip.fps for clip in clips if clip.fps > 0), 1),
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
    near_duplicates: Sequence[Sequence[Key]],
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
    return {
        "classes": {cls: {part: counts[cls, part] for part in PARTS} for cls in files.manifests},
        "leaks": leakage.leaks(rows, sources, near_duplicates),
    }
