"""What is known of the data that touches results: leaks, duplicates, rare classes, bad videos."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actionrec.dataset.findings import CONFLICTS, LEAKS
from actionrec.dataset.mirrored_classes import flips_to_stop, mirrored_pairs
from actionrec.utils.text import count

RARE = 10  # training videos of a class, below which its figures mean little
LISTED = 20  # entries of a note on the page; dataset.json has all


@dataclass(frozen=True)
class Note:
    """A remark on the data: `level` is bad, warn or note; `entries` name what it is about."""

    level: str
    text: str
    entries: Sequence[str] = ()

    @property
    def rest(self) -> int:
        """Return how many entries the page leaves out."""
        return max(0, len(self.entries) - LISTED)


def data_notes(
    dataset: Mapping[str, Any], splits: Sequence[int], flips: Mapping[str, float]
) -> list[Note]:
    """Return what dataset.json says that touches the results on `splits`, the worst first.

    `flips` is how probable it is that an experiment mirrors a training clip.
    """
    notes = [*_leaks(dataset, splits), *_mirrored(list(dataset["classes"]), flips)]
    notes += [*_videos(dataset), *_rare(dataset, splits)]
    return sorted(notes, key=lambda note: ("bad", "warn", "note").index(note.level))


def _leaks(dataset: Mapping[str, Any], splits: Sequence[int]) -> Iterator[Note]:
    for number in splits:
        leaks = dataset.get("splits", {}).get(str(number), {}).get("leaks", {})
        for kind, groups in leaks.items():
            if groups:
                what, level, why = LEAKS[kind]
                yield Note(level, f"Split {number}, {what} in two parts. {why}", _joined(groups))


def _videos(dataset: Mapping[str, Any]) -> Iterator[Note]:
    if conflicts := dataset.get("conflicts"):
        yield Note("bad", CONFLICTS, _joined(conflicts))
    if duplicates := dataset.get("duplicates"):
        text = "Videos with equal frames. Each counts more than once."
        yield Note("warn", text, _joined(duplicates))
    if bad := dataset.get("bad"):
        entries = [f"{video['class']}/{video['file']} {video['reason']}" for video in bad]
        yield Note("note", f"{count(len(bad), 'bad video')} left out.", entries)


def _rare(dataset: Mapping[str, Any], splits: Sequence[int]) -> Iterator[Note]:
    for number in splits:
        classes = dataset.get("splits", {}).get(str(number), {}).get("classes", {})
        rare = [
            f"{name}: {count(parts['train'], 'training video')}"
            for name, parts in classes.items()
            if parts["train"] < RARE
        ]
        if rare:
            text = f"Split {number}, classes with fewer than {RARE} training videos."
            yield Note("warn", text, rare)


def _mirrored(classes: Sequence[str], flips: Mapping[str, float]) -> Iterator[Note]:
    pairs, text = mirrored_pairs(classes), flips_to_stop(flips)
    if pairs and text:
        yield Note("bad", text, _joined(pairs))


def _joined(groups: Sequence[Sequence[str]]) -> list[str]:
    return [" = ".join(group) for group in groups]
