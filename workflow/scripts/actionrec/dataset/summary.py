"""Summarise a dataset: what there is, what is wrong with it, and how the splits divide it."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actionrec.dataset import leakage
from actionrec.dataset.split_table import PARTS
from actionrec.dataset.splits import decide, films, source_finder
from actionrec.errors import InputError
from actionrec.frames.manifest import STATUSES, FrameRecord, read_manifest
from actionrec.utils.files import write_text


def summarise(
    manifests: Mapping[str, Path],
    output: Path,
    *,
    frames: Path,
    draw: Mapping[str, Any] | None = None,
    official: Mapping[int, Mapping[str, Path]] | None = None,
    given: Mapping[str, Path] | None = None,
    source_video: str | None = None,
    threads: int = 1,
) -> None:
    """Write counts, lengths, sizes, rates, bad videos, duplicates and the splits as JSON.

    `manifests` maps each class to its manifest, `frames` holds <class>/<video>/rgb. `draw` are the
    settings of the splits with their `numbers`, `official` the files of each of these; a split
    that cannot be made is reported as the problem that it is.
    """
    clips = {cls: read_manifest(path) for cls, path in manifests.items()}
    pairs = [(cls, clip) for cls, of_class in clips.items() for clip in of_class]
    usable = [clip for _, clip in pairs if clip.usable]
    alike = leakage.look_alikes(clips, frames, threads)
    settings = dict(draw or {})
    summary = {
        "classes": {cls: _count(of_class) for cls, of_class in clips.items()},
        "total": _count([clip for _, clip in pairs]),
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
        "look_alikes": [[f"{cls}/{video}" for cls, video in group] for group in alike],
        "splits": {
            str(number): _split(
                manifests,
                clips,
                alike,
                {**settings, "source_video": source_video, "given": given},
                number,
                (official or {}).get(number),
            )
            for number in settings.pop("numbers", [])
        },
    }
    write_text(output, json.dumps(summary, indent=2) + "\n")


def _count(clips: Sequence[FrameRecord]) -> dict[str, Any]:
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
    manifests: Mapping[str, Path],
    clips: Mapping[str, Sequence[FrameRecord]],
    alike: Sequence[Sequence[leakage.Key]],
    settings: Mapping[str, Any],
    number: int,
    official: Mapping[str, Path] | None,
) -> dict[str, Any]:
    """Return the videos of each class in each part, and the leaks between the parts."""
    try:
        rows = decide(manifests, number=number, official=official, **settings)
    except InputError as error:
        return {"problem": str(error)}
    files = films(clips)
    find = source_finder(settings["source_video"], files)
    sources = {}
    for key in ((row.cls, row.video) for row in rows):
        cls, video = key
        film = find(video, cls)
        # Cuts of one file are of one scene in all classes; names need only agree within a class.
        sources[key] = film if film == files[key] != video else f"{cls}/{film}"
    counts = Counter((row.cls, row.part) for row in rows)
    return {
        "classes": {cls: {part: counts[cls, part] for part in PARTS} for cls in manifests},
        "leaks": leakage.leaks(rows, sources, alike),
    }
