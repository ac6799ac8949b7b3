"""How long the videos of each class are, and how many of each part come from one source."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any

from actionrec.dataset.source_videos import Key
from actionrec.dataset.split_table import PARTS, Row

BINS = 24  # of equal width, whole frames
_USUAL = 0.98  # share of the videos that they are laid out for; the last bin takes the longer ones


def length_histograms(lengths: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Return edges, and how many of each class's lengths are in each bin between two of them.

    Bin i has the lengths n with edges[i] <= n < edges[i + 1]. All classes have the same bins.
    """
    edges = _edges(sorted(length for of_class in lengths.values() for length in of_class))
    classes = {}
    for cls, of_class in lengths.items():
        found = Counter(bisect_right(edges, length) - 1 for length in of_class)
        classes[cls] = [found[index] for index in range(len(edges) - 1)]
    return {"edges": edges, "classes": classes}


def _edges(lengths: Sequence[int]) -> list[int]:
    if not lengths:
        return []
    first, usual, longest = lengths[0], lengths[ceil(_USUAL * (len(lengths) - 1))], lengths[-1]
    width = -(-(usual - first + 1) // BINS)
    return [*range(first, usual + 1, width), longest + 1]


def videos_by_source(rows: Iterable[Row], source_of: Mapping[Key, str]) -> dict[str, Any]:
    """Return for each part how many sources have how many videos, and the one with most.

    A source is what `source_of` names: a source video or a group. A part is {"sizes": {videos:
    sources}, "largest": {"name", "videos"}}; nothing where no video has a source.
    """
    found: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    for row in rows:
        if source := source_of.get((row.cls, row.video)):
            found[row.part][source] += 1
    return {part: _sizes(of) for part, of in found.items()} if any(found.values()) else {}


def _sizes(videos: Mapping[str, int]) -> dict[str, Any]:
    sizes = Counter(videos.values())
    name, most = min(videos.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
    return {
        "sizes": {str(size): sizes[size] for size in sorted(sizes)},
        "largest": {"name": name, "videos": most},
    }
