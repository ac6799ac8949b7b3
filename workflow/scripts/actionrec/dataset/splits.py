"""Divide the videos of an experiment into train, val and test.

Videos are drawn by source video, or by group where the user's list names one (a person, a scene),
so that none has videos in two parts, and by a hash of its name, so that a new video moves few
others and all experiments agree.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actionrec.dataset import leakage
from actionrec.dataset.group_draw import draw_groups, shuffle_key
from actionrec.dataset.official_split import official_parts
from actionrec.dataset.source_videos import (
    Key,
    SourceOf,
    file_names,
    source_finder,
    unique_sources,
)
from actionrec.dataset.split_table import PARTS, Parts, Row, write_split
from actionrec.errors import InputError, in_lines, snakemake_command, some
from actionrec.frames.flow_manifest import read_flow_manifest
from actionrec.frames.manifest import FrameRecord, read_manifest
from actionrec.sources.table import read_groups, read_parts
from actionrec.utils.text import count

Records = Mapping[str, Sequence[FrameRecord]]  # by class, one for each video

MOST_WARNINGS = 100  # of one kind
_PART_NAMES = {"train": "training", "val": "validation", "test": "test"}
# What it does if two parts show the same people or places.
_EFFECTS = {
    ("train", "test"): "the test score is too high",
    ("train", "val"): "the validation score is too high",
    ("val", "test"): "the test score is of a checkpoint that was chosen by them",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitSettings:
    """How videos are divided: the configuration's section `splits`, and dataset.source_video.

    `method` is "official" (the dataset's split files decide), "given" (the user's list) or
    "fraction", which draws `test_fraction` of each class, others for each number of a split.
    `validation` is the fraction of the training videos held out, or "test" for none, when the test
    videos do both jobs as in NVIDIA's tutorial; a list's own validation part stands. `seed` draws.
    `by` is what stays whole in a draw: "source_video", or "group" as the list names it; None is the
    group where there is one.
    """

    method: str
    test_fraction: float
    validation: float | str
    seed: int
    source_video: str | None = None
    by: str | None = None


@dataclass(frozen=True)
class ClassFiles:
    """The files that a split is decided from, each a mapping of classes in label order.

    `manifests` are the frame manifests. `flows` are the flow manifests if the experiment uses
    flow: videos without it are left out. `official` are the split files of the split's number,
    `given` the tables of parts that the user's list states. `groups` are these tables, whatever
    divides the videos, of all classes of the dataset: groups are drawn over all of them, so that
    experiments with some of the classes agree.
    """

    manifests: Mapping[str, Path]
    flows: Mapping[str, Path] = field(default_factory=dict)
    official: Mapping[str, Path] = field(default_factory=dict)
    given: Mapping[str, Path] = field(default_factory=dict)
    groups: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of_classes(
        cls,
        classes: Sequence[str],
        manifests: Sequence[str],
        flows: Sequence[str] = (),
        official: Sequence[str] = (),
        given: Sequence[str] = (),
        groups: Sequence[str] = (),
    ) -> "ClassFiles":
        """Return the files of `classes` from lists of their paths; all but the first may be empty.

        This is how a rule has them. `groups` are named after their classes, which may be more.
        """
        lists = [manifests, flows, official, given]
        of_each = [dict(zip(classes, map(Path, paths), strict=bool(paths))) for paths in lists]
        of_each.append({path.stem: path for path in map(Path, groups)})
        return cls(*of_each)

    def group_of(self) -> dict[Key, str]:
        """Return (class, video) -> group, of the videos of the dataset that have one."""
        return {
            (cls, video): group
            for cls, path in self.groups.items()
            for video, group in read_groups(path).items()
        }


def make_split(output: Path | str, files: ClassFiles, settings: SplitSettings, number: int) -> None:
    """Write the table of split `number`.

    Raises `InputError` that lists every mismatch between files and videos, by class and name. Bad
    videos are left out: whether they are too many is for `bad_videos` to say.
    """
    rows = decide(files, settings, number)
    groups = leakage.between_parts(rows)
    for group in groups[:MOST_WARNINGS]:
        log.warning("The same video in different parts: %s", " = ".join(group))
    if (more := len(groups) - MOST_WARNINGS) > 0:
        log.warning("And %s more; dataset.html shows them", count(more, "such group"))
    if numbers := groups_of_parts(rows, files.group_of()):
        log.info("Groups: %s", ", ".join(f"{of} in {part}" for part, of in numbers.items()))
    write_split(Path(output), rows)


def groups_of_parts(rows: Iterable[Row], group_of: Mapping[Key, str]) -> dict[str, int]:
    """Return how many groups have videos in each part; nothing where no video has a group."""
    found: dict[str, set[str]] = {part: set() for part in PARTS}
    for row in rows:
        if group := group_of.get((row.cls, row.video)):
            found[row.part].add(group)
    return {part: len(of) for part, of in found.items()} if any(found.values()) else {}


def decide(files: ClassFiles, settings: SplitSettings, number: int) -> list[Row]:
    """Return the rows of the table that `make_split` writes, in its order; the same errors."""
    records: Records = {cls: _usable(cls, path) for cls, path in files.manifests.items()}
    flow = _read_flow(records, files.flows) if files.flows else {}
    if files.flows:
        records = {cls: _with_flow(cls, of_class, flow) for cls, of_class in records.items()}
    # Bad videos and those without flow are gone by now, so that fractions are of what is used.
    names = file_names(records)
    source_of = source_finder(settings.source_video, names)
    parts = _parts(files, settings, number, records, source_of)
    group_of = files.group_of()
    rows = [
        Row(
            part,
            cls,
            record.video,
            record.frames,
            record.format,
            record.content or record.sha256,
            flow.get((cls, record.video), ""),
        )
        for cls, of_class in parts.items()
        for record in records[cls]
        if (part := of_class.get(record.video))  # None: not used
    ]
    order = list(files.manifests)
    _require_parts(rows, order, settings.validation)
    sources = unique_sources(((row.cls, row.video) for row in rows), source_of, names)
    _warn_of_shared("source video", rows, sources)
    _warn_of_shared("group", rows, group_of)
    return sorted(rows, key=lambda row: (PARTS.index(row.part), order.index(row.cls), row.video))


def _parts(
    files: ClassFiles, settings: SplitSettings, number: int, records: Records, source_of: SourceOf
) -> Parts:
    """Return the part of each video: by the method, then a validation part held out of training."""
    group_of = _groups_to_draw_by(files, settings)
    grouped: dict[Key, str | None] = {}  # the parts of all videos with a group
    if settings.method == "official":
        parts = official_parts(files.manifests, files.official, number)
    elif settings.method == "given":
        parts = _given_parts(files.given)
        stated = {cls: read_parts(path) for cls, path in files.groups.items()}
        grouped = {(cls, video): stated[cls][video] for cls, video in group_of}
    else:
        salt = f"{settings.seed} test {number}"
        drawn = draw_groups(group_of.items(), settings.test_fraction, salt)
        grouped = {key: "test" if group in drawn else "train" for key, group in group_of.items()}
        parts = _drawn_parts(records, source_of, settings.test_fraction, salt, grouped)
    has_val = any("val" in of_class.values() for of_class in parts.values())
    if settings.validation != "test" and not has_val:
        # Not salted by the number: with official files all splits hold out alike.
        fraction, salt = float(settings.validation), f"{settings.seed} val"
        left = {key: group for key, group in group_of.items() if grouped[key] == "train"}
        held_out = draw_groups(left.items(), fraction, salt)
        grouped = {key: "val" if group in held_out else "train" for key, group in left.items()}
        _hold_out(parts, records, source_of, fraction, salt, grouped)
    return parts


def _groups_to_draw_by(files: ClassFiles, settings: SplitSettings) -> dict[Key, str]:
    """Return the group of each video that is to be drawn with it."""
    if settings.by == "source_video":
        return {}
    group_of = files.group_of()
    if settings.by == "group" and not group_of:
        raise InputError(
            "Videos are to be divided by group, and the list gives none a group.",
            where="splits.by",
            found="group",
            allowed="group (with a column group in the list), source_video",
            fix="add the column to the list, or remove splits.by",
        )
    return group_of


def _usable(cls: str, manifest: Path) -> list[FrameRecord]:
    records = read_manifest(manifest)
    bad = [record.file for record in records if not record.usable]
    if bad:
        log.warning("Left out of class %s, bad: %s", cls, some(bad))
    return [record for record in records if record.usable]


def _read_flow(records: Records, flows: Mapping[str, Path]) -> dict[Key, str]:
    """Return the cache key of the flow of each (class, video) that has some and fits the frames."""
    keys: dict[Key, str] = {}
    versions, faults = set(), []
    for cls, of_class in records.items():
        frames = {record.video: record.frames for record in of_class}
        for flow in read_flow_manifest(flows[cls]):
            if not flow.usable:
                continue
            keys[cls, flow.video] = flow.cache_key
            versions.add(flow.opencv)
            if flow.images + 1 != frames.get(flow.video):  # an image between each two frames
                has = f"{count(flow.images, 'flow image')} for "
                faults.append(
                    f"{cls}/{flow.video}: {has}{count(frames.get(flow.video, 0), 'frame')}"
                )
    if faults:
        raise InputError(
            f"The flow of {count(len(faults), 'video')} is of other frames.",
            where=flows[next(iter(records))].parent,
            found=in_lines(faults),
            fix="make the flow again: "
            + snakemake_command("dataset", "--forcerun", "extract_flow", "--cores", 1),
        )
    if len(versions) > 1:
        log.warning("Flow by different versions of OpenCV, which may differ: %s", sorted(versions))
    return keys


def _with_flow(
    cls: str, records: Sequence[FrameRecord], flow: Mapping[Key, str]
) -> list[FrameRecord]:
    without = [record.file for record in records if (cls, record.video) not in flow]
    if without:
        log.warning("Left out of class %s, no flow: %s", cls, some(without))
    return [record for record in records if (cls, record.video) in flow]


def _given_parts(given: Mapping[str, Path]) -> Parts:
    """Return the parts that a user's list states; without a test part its validation part tests."""
    parts = {cls: read_parts(path) for cls, path in given.items()}
    unused = sum(part is None for of_class in parts.values() for part in of_class.values())
    if unused:
        log.warning("Not used, as the list puts it in no part: %s", count(unused, "video"))
    if not any("test" in of_class.values() for of_class in parts.values()):
        log.warning("The list has no test part: its validation part is tested on")
        for of_class in parts.values():
            of_class.update({video: "test" for video, part in of_class.items() if part == "val"})
    return parts


def _drawn_parts(
    records: Records,
    source_of: SourceOf,
    fraction: float,
    salt: str,
    grouped: Mapping[Key, str | None],
) -> Parts:
    """Return the parts of videos: of those in `grouped` as it says, the others are drawn."""
    parts: Parts = {}
    for cls, of_class in records.items():
        videos = [record.video for record in of_class]
        others = [video for video in videos if (cls, video) not in grouped]
        parts[cls] = {video: grouped.get((cls, video), "train") for video in videos}
        parts[cls].update(dict.fromkeys(draw(others, cls, source_of, fraction, salt), "test"))
    return parts


def _hold_out(
    parts: Parts,
    records: Records,
    source_of: SourceOf,
    fraction: float,
    salt: str,
    grouped: Mapping[Key, str | None],
) -> None:
    """Move about `fraction` of each class's training videos to val, `grouped` ones as it says."""
    for cls, of_class in parts.items():
        training = [
            record.video for record in records[cls] if of_class.get(record.video) == "train"
        ]
        of_class.update({v: grouped[cls, v] for v in training if (cls, v) in grouped})
        others = [video for video in training if (cls, video) not in grouped]
        of_class.update(dict.fromkeys(draw(others, cls, source_of, fraction, salt), "val"))


def draw(
    videos: Iterable[str], cls: str, source_of: SourceOf, fraction: float, salt: str
) -> list[str]:
    """Return about `fraction` of a class's videos, whole source videos only.

    At least one source, as long as another is left; none of a class that has just one.
    """
    if not 0 < fraction < 1:
        raise InputError(
            "A fraction of videos must be between 0 and 1.",
            where="splits.test_fraction, splits.validation",
            found=fraction,
            allowed="more than 0 and less than 1",
        )
    by_source = defaultdict(list)
    for video in videos:
        by_source[source_of(cls, video)].append(video)
    if len(by_source) < 2:
        return []
    # The order of the hashes is a shuffle in which a new source keeps the order of the others.
    order = sorted(by_source, key=lambda source: shuffle_key(salt, cls, source))
    # Sources that do not fit are skipped: smaller ones behind them may.
    wanted = max(1, round(fraction * sum(map(len, by_source.values()))))
    drawn: list[str] = []
    for source in order:
        if len(drawn) + len(by_source[source]) <= wanted:
            drawn += by_source[source]
    return drawn or min((by_source[source] for source in order), key=len)


def _require_parts(rows: Sequence[Row], classes: Sequence[str], validation: float | str) -> None:
    have = {(row.part, row.cls) for row in rows}
    lacking = [
        f"{cls}: no {part} video"
        for cls in classes
        for part in ("train", "test")
        if (part, cls) not in have
    ]
    if lacking:
        raise InputError(
            "Classes without a video to train or to test with.",
            where="splits",
            found=in_lines(lacking),
            fix="add videos from another source (see dataset.source_video), or drop the class",
        )
    if validation == "test":
        return
    without = [cls for cls in classes if ("val", cls) not in have]
    if len(without) == len(classes):
        raise InputError(
            "No class has a second source video in training to hold out for validation.",
            where="splits.validation",
            found=validation,
            fix='add videos, correct dataset.source_video, or set splits.validation to "test"',
        )
    if without:
        log.warning("No validation video, just one source to train with: %s", some(without))


def _warn_of_shared(what: str, rows: Sequence[Row], key_of: Mapping[Key, str]) -> None:
    """Name the source videos, or groups, that have videos in two parts."""
    parts = defaultdict(set)
    for row in rows:
        if key := key_of.get((row.cls, row.video)):
            parts[key].add(row.part)
    for pair, effect in _EFFECTS.items():
        if shared := sorted(key for key, of in parts.items() if of.issuperset(pair)):
            log.warning(
                "%d of %s in %s and in %s, so %s: %s",
                len(shared),
                count(len(parts), what),
                *(_PART_NAMES[part] for part in pair),
                effect,
                some(shared),
            )
