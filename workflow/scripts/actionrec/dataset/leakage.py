"""Find videos that are the same or look the same, and those that are in two parts of a split.

Leakage: what a model is tested on must not be known from training, or its score is too high.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from actionrec.dataset.fingerprints import Alike
from actionrec.dataset.source_videos import Key
from actionrec.frames.manifest import FrameRecord

if TYPE_CHECKING:
    from actionrec.dataset.split_table import Row

Leak = tuple[list[str], Hashable]  # `<class>/<video> (<part>)` of each video, and what they share
NAMED = ("same source video", "same group")  # kinds of leaks whose groups have names


def find_duplicates(records: Mapping[str, Iterable[FrameRecord]]) -> list[list[str]]:
    """Return groups of `<class>/<file>`, or `<class>/<video>` of a cut, with equal content."""
    return _names(_equal_groups(records))


def find_conflicts(records: Mapping[str, Iterable[FrameRecord]]) -> list[list[str]]:
    """Return those of the duplicates that are in several classes: one label must be wrong."""
    return _names(g for g in _equal_groups(records) if len({cls for cls, _ in g}) > 1)


def _names(groups: Iterable[Iterable[tuple[str, FrameRecord]]]) -> list[list[str]]:
    return sorted(
        sorted(f"{cls}/{record.display_name}" for cls, record in group) for group in groups
    )


def _equal_groups(
    records: Mapping[str, Iterable[FrameRecord]],
) -> Iterator[list[tuple[str, FrameRecord]]]:
    groups = defaultdict(list)
    for cls, of_class in records.items():
        for record in of_class:
            if record.usable:
                groups[record.content or record.sha256].append((cls, record))
    return (group for group in groups.values() if len(group) > 1)


def between_parts(rows: Sequence["Row"]) -> list[list[str]]:
    """Return the groups of videos with equal content that are in different parts."""
    return [videos for videos, _ in _across_parts(rows, _contents(rows))]


def leaks(
    rows: Sequence["Row"],
    sources: Mapping[Key, str],
    groups: Mapping[Key, str],
    alike: Alike,
) -> dict[str, list[Leak]]:
    """Return the groups of videos that are in different parts, by kind.

    `sources` are the source videos, `groups` what the user's list names (a person, a scene).
    """
    kinds: dict[str, Mapping[Key, Hashable]] = {
        "same content": _contents(rows),
        "same source video": sources,
        "same group": groups,
        "look alike": _numbers(alike.copies),
        "mirrored": _numbers(alike.mirrored),
        "same place": _numbers(alike.places),
    }
    return {kind: _across_parts(rows, group_of) for kind, group_of in kinds.items()}


def _numbers(groups: Sequence[Sequence[Key]]) -> dict[Key, int]:
    return {key: number for number, group in enumerate(groups) for key in group}


def _contents(rows: Iterable["Row"]) -> dict[Key, Hashable]:
    return {(row.cls, row.video): row.sha256 for row in rows}


def _across_parts(rows: Iterable["Row"], group_of: Mapping[Key, Hashable]) -> list[Leak]:
    groups = defaultdict(list)
    for row in rows:
        if (group := group_of.get((row.cls, row.video))) is not None:
            groups[group].append(row)
    found = [
        ([f"{row.cls}/{row.video} ({row.part})" for row in of_group], group)
        for group, of_group in groups.items()
        if len({row.part for row in of_group}) > 1
    ]
    return sorted(found, key=itemgetter(0))
