"""Find videos that are the same or look the same, and those that are in two parts of a split.

Leakage: what a model is tested on must not be known from training, or its score is too high.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from actionrec.dataset.fingerprints import Alike
from actionrec.dataset.source_videos import Key
from actionrec.frames.manifest import FrameRecord

if TYPE_CHECKING:
    from actionrec.dataset.split_table import Row


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


def between_parts(rows: Iterable["Row"]) -> list[list[str]]:
    """Return groups of `<class>/<video> (<part>)` with equal content in different parts."""
    return _across_parts(rows, lambda row: row.sha256)


def leaks(
    rows: Sequence["Row"],
    sources: Mapping[Key, str],
    groups: Mapping[Key, str],
    alike: Alike,
) -> dict[str, list[list[str]]]:
    """Return the groups of `<class>/<video> (<part>)` that are in different parts, by kind.

    `sources` are the source videos, `groups` what the user's list names (a person, a scene).
    """
    found = {"same content": between_parts(rows)}
    kinds: tuple[tuple[str, Mapping[Key, Hashable]], ...] = (
        ("same source video", sources),
        ("same group", groups),
        ("look alike", _numbers(alike.copies)),
        ("mirrored", _numbers(alike.mirrored)),
        ("same place", _numbers(alike.places)),
    )
    for kind, group_of in kinds:
        found[kind] = _across_parts(rows, partial(_group_of_row, group_of))
    return found


def names(rows: Sequence["Row"], group_of: Mapping[Key, Hashable]) -> list[str]:
    """Return the names of the groups that are in different parts, in the order of `leaks`."""
    found = _named_across_parts(rows, partial(_group_of_row, group_of))
    return [str(name) for _, name in found]


def _group_of_row(group_of: Mapping[Key, Hashable], row: "Row") -> Hashable:
    return group_of.get((row.cls, row.video))


def _numbers(groups: Sequence[Sequence[Key]]) -> dict[Key, int]:
    return {key: number for number, group in enumerate(groups) for key in group}


def _across_parts(rows: Iterable["Row"], key: Callable[["Row"], Hashable]) -> list[list[str]]:
    return [videos for videos, _ in _named_across_parts(rows, key)]


def _named_across_parts(
    rows: Iterable["Row"], key: Callable[["Row"], Hashable]
) -> list[tuple[list[str], Hashable]]:
    """Return the videos and the key of each group that is in different parts."""
    groups = defaultdict(list)
    for row in rows:
        if key(row) is not None:
            groups[key(row)].append(row)
    return sorted(
        ([f"{row.cls}/{row.video} ({row.part})" for row in group], name)
        for name, group in groups.items()
        if len({row.part for row in group}) > 1
    )
