"""Draw whole groups, such as persons or places, that have videos in several classes.

A person who is drawn is drawn in all classes, so no class can be drawn for itself. The groups are
chosen so that each class has about the share that is wanted, and something on both sides.
"""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from actionrec.dataset.source_videos import Key

if TYPE_CHECKING:
    import numpy as np

_NOTHING = 100.0  # cost of a class that has nothing on one side; a share that is off costs below 1
_MAX_SWAPPED = 300  # groups up to which exchanges of two are tried
_MAX_STEPS = 200


def draw_groups(members: Iterable[tuple[Key, str]], fraction: float, salt: str) -> frozenset[str]:
    """Return the groups that hold about `fraction` of the videos of each class.

    `members` are ((class, video), group). At least one group of each class is drawn and one is
    left, where the groups allow it. Equal groups, counts and salt give equal draws.
    """
    import numpy as np

    pairs = [(cls, group) for (cls, _), group in members]
    classes = sorted({cls for cls, _ in pairs})
    # The order of the hashes is a shuffle in which a new group keeps the order of the others.
    groups = sorted({group for _, group in pairs}, key=lambda group: shuffle_key(salt, group))
    if len(groups) < 2:
        return frozenset()
    rows = {group: row for row, group in enumerate(groups)}
    columns = {cls: column for column, cls in enumerate(classes)}
    counts = np.zeros((len(groups), len(classes)))
    for cls, group in pairs:
        counts[rows[group], columns[cls]] += 1
    drawn = _first_draw(counts, fraction)
    for _ in range(_MAX_STEPS):
        better = _best_step(counts, drawn, fraction)
        if better is None:
            break
        drawn[better] ^= True
    return frozenset(group for group, chosen in zip(groups, drawn, strict=True) if chosen)


def shuffle_key(*texts: str) -> bytes:
    """Return a hash to sort by: a shuffle that new names leave as it is."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).digest()


def _cost(taken: "np.ndarray", totals: "np.ndarray", fraction: float) -> "np.ndarray":
    """Return how far draws are off: `taken` is (..., classes) videos, of `totals` in each class."""
    off = ((taken / totals - fraction) ** 2).sum(axis=-1)
    one_sided = ((taken == 0) | (taken == totals)).sum(axis=-1)
    return off + _NOTHING * one_sided


def _first_draw(counts: "np.ndarray", fraction: float) -> "np.ndarray":
    """Return a draw (groups, bool): in order, each group that brings the shares nearer."""
    import numpy as np

    totals, taken = counts.sum(axis=0), np.zeros(counts.shape[1])
    drawn = np.zeros(len(counts), bool)
    for row, own in enumerate(counts):
        off = ((taken / totals - fraction) ** 2).sum()
        if (((taken + own) / totals - fraction) ** 2).sum() < off:
            drawn[row] = True
            taken = taken + own
    return drawn


def _best_step(counts: "np.ndarray", drawn: "np.ndarray", fraction: float) -> "list[int] | None":
    """Return the one or two groups whose change of side helps most, or None."""
    import numpy as np

    totals, taken = counts.sum(axis=0), counts[drawn].sum(axis=0)
    now = _cost(taken, totals, fraction)
    moved = counts * np.where(drawn, -1, 1)[:, None]
    steps: list[tuple[float, list[int]]] = []
    single = _cost(taken + moved, totals, fraction)
    steps.append((float(single.min()), [int(single.argmin())]))
    if len(counts) <= _MAX_SWAPPED:
        for row in np.flatnonzero(drawn):
            others = np.flatnonzero(~drawn)
            double = _cost(taken + moved[row] + moved[others], totals, fraction)
            if len(others):
                steps.append((float(double.min()), [int(row), int(others[double.argmin()])]))
    cost, step = min(steps, key=lambda found: found[0])
    return step if cost < now - 1e-9 else None
