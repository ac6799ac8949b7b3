"""Say in words what dataset.json holds that the user should look at, the worst first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from actionrec.dataset.mirrored_classes import flips_to_stop
from actionrec.utils.text import count

Level = Literal["bad", "warn", "note"]
_NAMED = 12  # members of a group that are named
CONFLICTS = "Equal videos in different classes: one of the labels must be wrong."
_KNOWN = "The model is tested on what it knows from training: its score is too high."
LEAKS: dict[str, tuple[str, Level, str]] = {  # by kind, as dataset.json has them
    "same content": ("equal videos", "bad", _KNOWN),
    "same source video": ("one source video", "bad", _KNOWN),
    "same group": ("one group", "bad", _KNOWN),
    "look alike": ("videos that look alike", "bad", _KNOWN),
    "mirrored": (
        "a video and its mirror image",
        "bad",
        f"{_KNOWN} Training mirrors videos by itself (augmentation): leave such copies out, or "
        "give both one group.",
    ),
    "same place": (
        "one camera or place",
        "warn",
        "Backgrounds are nearly equal. A model may know the place, and with it the class, rather "
        "than the action. To hold whole places out, give them a group: a column of a list "
        "(dataset.source: table).",
    ),
}


@dataclass(frozen=True)
class Finding:
    """Something that the user should look at: what, how bad it is, why it matters, and where.

    `level` is bad, warn or note.
    """

    title: str
    level: Level
    why: str
    entries: Sequence[str]


def findings(
    dataset: Mapping[str, Any],
    tolerate: int | None = None,
    flips: Mapping[str, float] | None = None,
) -> list[Finding]:
    """Return what dataset.json holds that is wrong or odd; `tolerate` is frames.tolerate.

    `flips` is how probable it is that each experiment mirrors a training clip.
    """
    return [found for found in _all(dataset, tolerate, flips or {}) if found.entries]


def _all(
    dataset: Mapping[str, Any], tolerate: int | None, flips: Mapping[str, float]
) -> Iterator[Finding]:
    bad = [f"{video['file']} {video['reason']}" for video in dataset["bad"]]
    yield Finding("Bad videos", "bad", _about_bad(dataset, tolerate), bad)
    for number, split in dataset["splits"].items():
        yield from _of_split(number, split)
    yield Finding("One video, two labels", "bad", CONFLICTS, _joined(dataset["conflicts"]))
    yield _of_mirrors(dataset["mirrored_classes"], flips)
    same = [group for group in dataset["duplicates"] if group not in dataset["conflicts"]]
    yield Finding("Duplicates", "warn", "Equal videos under different names.", _joined(same))
    why = "Their first, middle and last pictures are nearly equal: copies, or cuts of one scene."
    yield Finding("Videos that look alike", "warn", why, _joined(dataset["look_alikes"]))
    why = "The pictures of one are nearly those of another seen in a mirror."
    yield Finding("Mirrored copies", "warn", why, _joined(dataset["mirrored"]))
    yield from _of_sources(dataset["sources"])
    if turned := dataset["orientations"]:
        why = "The file says so, and players do it: so are the frames."
        entries = [f"{count(n, 'video')}: {how}" for how, n in turned.items()]
        yield Finding("Turned or mirrored to be shown", "note", why, entries)
    remarks = [f"{count(n, 'video')}: {remark}" for remark, n in dataset["remarks"].items()]
    yield Finding("Remarks", "note", "These videos are used.", remarks)


def _about_bad(dataset: Mapping[str, Any], tolerate: int | None) -> str:
    """Say what becomes of bad videos."""
    if tolerate is None:
        return "They are left out."
    over = [cls for cls, counts in dataset["classes"].items() if counts["bad"] > tolerate]
    if not over:
        return "They are left out: frames.tolerate allows that."
    most = max(dataset["classes"][cls]["bad"] for cls in over)
    return (
        f"No split is made while a class has more of them than frames.tolerate, {tolerate}: "
        f"repair, replace or remove them, or set it to {most} to leave them out."
    )


def _of_split(number: str, split: Mapping[str, Any]) -> Iterator[Finding]:
    if "problem" in split:
        yield Finding(f"Split {number} cannot be made", "bad", "", [split["problem"]])
        return
    for kind, groups in split["leaks"].items():
        what, level, why = LEAKS[kind]
        title = f"Split {number}: {what} in two parts"
        entries = _joined(groups)
        if names := split.get("leak_names", {}).get(kind):
            entries = [f"{name}: {entry}" for name, entry in zip(names, entries, strict=True)]
        yield Finding(title, level, why, entries)


def _of_mirrors(pairs: Sequence[Sequence[str]], flips: Mapping[str, float]) -> Finding:
    title, text = "Classes that a mirror exchanges", flips_to_stop(flips)
    right = "No experiment mirrors its training clips, which would teach the opposite label."
    return Finding(title, "bad" if text else "note", text or right, _joined(pairs))


def _of_sources(sources: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what a split by source video rests on, if that is nothing."""
    if sources["rule"] or sources["sources"] < sources["videos"]:
        return
    yield Finding(
        "No rule for source videos",
        "note",
        "Every video counts as its own source, as no rule for source_video is set and the names "
        "are not HMDB51's or UCF101's. Videos of one recording, person or place may then be in two "
        "parts of a drawn split.",
        [
            "Where names tell it, set dataset.source_video, such as '^(.+)_part[0-9]+$'.",
            "Persons and places: a list with a column group (dataset.source: table).",
        ],
    )


def _joined(groups: Sequence[Sequence[str]]) -> list[str]:
    return [
        " = ".join(group[:_NAMED]) + (f" and {len(group) - _NAMED} more" * (len(group) > _NAMED))
        for group in groups
    ]


def comparisons(dataset: Mapping[str, Any]) -> list[str]:
    """Return what was compared, and what was not: where nothing was found, only that is known."""
    compared = dataset["compared"]
    number = count(compared["by_look"], "video")
    undecoded = compared["undecoded"]
    decoded = dataset["sources"]["videos"] - undecoded
    said = []
    if decoded or not undecoded:
        said.append(f"The decoded frames of {count(decoded, 'video')}, for equal ones.")
    if undecoded:
        said.append(
            f"The files of {count(undecoded, 'video')}, for equal ones; frames.check: quick does "
            "not look at their pictures."
        )
    if compared["by_look"]:
        said += [
            f"The first, middle and last picture of {number}, as they are and mirrored, for copies "
            "that were encoded or scaled again. Copies that were cut at other times are not found.",
            f"The backgrounds of {number}, for one camera or place. A place seen from elsewhere is "
            "not found.",
        ]
    if compared["too_many"]:
        said.append("Nothing by its looks: more than 20,000 videos.")
    elif compared["flat"]:
        flat = count(compared["flat"], "video")
        said.append(f"Not compared by their looks: {flat} with pictures that show nothing.")
    return said
