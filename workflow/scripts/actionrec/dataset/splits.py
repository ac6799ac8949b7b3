"""Share the videos of an experiment out to train, val and test, and lay them out as TAO reads them.

Every draw is by source video, so that no film is on two sides, and by a hash of its name, so that
a new video moves few others and all experiments agree.
"""

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from actionrec.dataset import leakage
from actionrec.dataset.split_table import _CELLS, COLUMNS, PARTS, Row
from actionrec.errors import InputError, in_lines, some
from actionrec.frames.flow_manifest import read_flow_manifest
from actionrec.frames.manifest import FrameRecord, read_manifest
from actionrec.sources.split_files import CLASS_FILE, read_class_file
from actionrec.sources.table import read_parts
from actionrec.utils.tables import write_table

# HMDB51: film_walk_f_cm_np1_fr_med_3; the class is put in. UCF101: v_SoccerJuggling_g23_c01.
_HMDB51_NAME = r"(.+)_{cls}_[hulf]_.+"
_UCF101_NAME = r"v_.+_(g\d+)_c\d+"

Source = Callable[[str, str], str]  # (video, class) -> the film that the video was cut from

log = logging.getLogger(__name__)


def make_split(
    output: Path,
    *,
    manifests: Mapping[str, Path],
    method: str,
    number: int,
    official: Mapping[str, Path] | None = None,
    flows: Mapping[str, Path] | None = None,
    test_fraction: float = 0.3,
    validation: float | str = 0.2,
    seed: int = 1234,
    source_video: str | None = None,
    given: Mapping[str, Path] | None = None,
) -> None:
    """Write the table of split `number`: part, class, video, frames, format, sha256, flow.

    `manifests` maps the classes to their frame manifests, in label order, `flows` to their flow
    manifests if the experiment uses flow: videos without it are left out. `method` is "official",
    with the class's file of that number in `official`, "given", with the parts that the user's
    list states in `given`, or "fraction", which draws `test_fraction` of each class, anew for each
    number. `validation` is the fraction of the training videos held out, or "test" for none, when
    the test videos do both jobs as in NVIDIA's tutorial; a list's own validation part stands.
    `source_video` is a regular expression whose first group is the film a video was cut from;
    without it HMDB51's and UCF101's names are understood, clips of one file belong together, and
    any other video stands alone.
    Raises `InputError` that lists every mismatch between files and videos, by class and name.
    """
    rows = decide(
        manifests,
        method=method,
        number=number,
        official=official,
        flows=flows,
        test_fraction=test_fraction,
        validation=validation,
        seed=seed,
        source_video=source_video,
        given=given,
    )
    for leak in leakage.between_parts(rows):
        log.warning("The same video in different parts: %s", " = ".join(leak))
    write_table(output, COLUMNS, map(_CELLS, rows))


def decide(
    manifests: Mapping[str, Path],
    *,
    method: str,
    number: int,
    official: Mapping[str, Path] | None = None,
    flows: Mapping[str, Path] | None = None,
    test_fraction: float = 0.3,
    validation: float | str = 0.2,
    seed: int = 1234,
    source_video: str | None = None,
    given: Mapping[str, Path] | None = None,
) -> list[Row]:
    """Return the rows of the table that `make_split` writes, in its order; the same errors."""
    clips = {cls: _usable(cls, path) for cls, path in manifests.items()}
    labels = _flow_labels(clips, flows) if flows else {}
    if flows:
        clips = {cls: _with_flow(cls, of_class, labels) for cls, of_class in clips.items()}
    source = source_finder(source_video, films(clips))
    if method == "official":
        parts = _official_parts(manifests, official or {}, number)
    elif method == "given":
        parts = _given_parts(given or {})
    else:
        parts = _drawn_parts(clips, source, test_fraction, f"{seed} test {number}")
    has_val = any("val" in of_class.values() for of_class in parts.values())
    if validation != "test" and not has_val:
        _hold_out(parts, clips, source, float(validation), f"{seed} val")
    rows = [
        Row(
            of_class[clip.video],
            cls,
            clip.video,
            clip.frames,
            clip.format,
            clip.content or clip.sha256,
            labels.get((cls, clip.video), ""),
        )
        for cls, of_class in parts.items()
        for clip in clips[cls]
        if of_class.get(clip.video)
    ]
    _require_parts(rows, list(manifests), validation)
    _warn_of_shared_sources(rows, source)
    order = list(manifests)
    return sorted(rows, key=lambda row: (PARTS.index(row.part), order.index(row.cls), row.video))


def _usable(cls: str, manifest: Path) -> list[FrameRecord]:
    clips = read_manifest(manifest)
    bad = [clip.file for clip in clips if not clip.usable]
    if bad:
        log.warning("Left out of class %s, bad: %s", cls, some(bad))
    return [clip for clip in clips if clip.usable]


def _flow_labels(
    clips: Mapping[str, Sequence[FrameRecord]], flows: Mapping[str, Path]
) -> dict[tuple[str, str], str]:
    """Return the label of each (class, video) that has flow, once it fits the frames."""
    labels, versions, faults = {}, set(), []
    for cls, of_class in clips.items():
        frames = {clip.video: clip.frames for clip in of_class}
        for flow in read_flow_manifest(flows[cls]):
            if not flow.usable:
                continue
            labels[cls, flow.video] = flow.cache_key
            versions.add(flow.opencv)
            if flow.images + 1 != frames.get(flow.video):
                has = f"{flow.images} flow images for {frames.get(flow.video, 0)} frames"
                faults.append(f"{cls}/{flow.video}: {has}")
    if faults:
        raise InputError(
            f"The flow of {len(faults)} videos is of other frames.",
            where=flows[next(iter(clips))].parent,
            found=in_lines(faults),
            fix="make the flow again: snakemake --forcerun extract_flow --cores 1",
        )
    if len(versions) > 1:
        log.warning("Flow by different versions of OpenCV, which may differ: %s", sorted(versions))
    return labels


def _with_flow(
    cls: str, clips: Sequence[FrameRecord], labels: Mapping[tuple[str, str], str]
) -> list[FrameRecord]:
    without = [clip.file for clip in clips if (cls, clip.video) not in labels]
    if without:
        log.warning("Left out of class %s, no flow: %s", cls, some(without))
    return [clip for clip in clips if (cls, clip.video) in labels]


def _official_parts(
    manifests: Mapping[str, Path], official: Mapping[str, Path], number: int
) -> dict[str, dict[str, str | None]]:
    """Return the parts of each class's videos once files and videos are known to agree."""
    missing = [cls for cls in manifests if cls not in official or not official[cls].is_file()]
    if missing:
        raise InputError(
            f"Classes without an official file of split {number}.",
            where="splits.method: official",
            found=in_lines([f"{cls}_test_split{number}.txt" for cls in missing]),
            fix="correct dataset.classes, or set splits.method to fraction",
        )
    parts, lost, unlisted, found = {}, [], [], 0
    for cls, manifest in manifests.items():
        _require_name(official[cls], cls, number)
        parts[cls] = read_class_file(official[cls])
        videos = {clip.video for clip in read_manifest(manifest)}
        found += len(parts[cls].keys() & videos)
        lost += [f"{cls}: {name} has no video" for name in sorted(parts[cls].keys() - videos)]
        unlisted += [
            f"{cls}: {name} is in no split file" for name in sorted(videos - parts[cls].keys())
        ]
    if not found:
        raise _foreign_files(lost, unlisted, number)
    if lost:
        faults = lost + unlisted
        raise InputError(
            f"{len(faults)} mismatches between the videos and the files of split {number}.",
            where=official[next(iter(manifests))].parent,
            found=in_lines(faults, limit=len(faults)),
            fix="add or remove these videos or lines, or set splits.method to fraction",
        )
    if unlisted:
        log.warning("Not used, as the official split %d says nothing of it: %s", number, unlisted)
    return parts


def _foreign_files(lost: Sequence[str], unlisted: Sequence[str], number: int) -> InputError:
    return InputError(
        f"The files of split {number} are of another dataset: they name none of the videos.",
        where="dataset.archives.splits",
        found=in_lines([*lost[:3], *unlisted[:3]]),
        fix="name the archive of this dataset's split files, or set splits.method to fraction",
    )


def _require_name(path: Path, cls: str, number: int) -> None:
    match = CLASS_FILE.fullmatch(path.name)
    if not match or match.groups() != (cls, str(number)):
        expected = [f"{cls}_test_split{number}.txt"]
        raise InputError("Not this class's split file.", found=path, allowed=expected)


def _given_parts(given: Mapping[str, Path]) -> dict[str, dict[str, str | None]]:
    """Return the parts that a user's list states; without a test part its validation part tests."""
    parts = {cls: read_parts(path) for cls, path in given.items()}
    unused = sum(part is None for of_class in parts.values() for part in of_class.values())
    if unused:
        log.warning("%d clips are not used: the list puts them in no part", unused)
    if not any("test" in of_class.values() for of_class in parts.values()):
        log.warning("The list has no test part: its validation part is tested on")
        for of_class in parts.values():
            of_class.update({video: "test" for video, part in of_class.items() if part == "val"})
    return parts


def _drawn_parts(
    clips: Mapping[str, Sequence[FrameRecord]], source: Source, fraction: float, salt: str
) -> dict[str, dict[str, str | None]]:
    parts = {}
    for cls, of_class in clips.items():
        videos = [clip.video for clip in of_class]
        parts[cls] = dict.fromkeys(videos, "train")
        parts[cls].update(dict.fromkeys(draw(videos, cls, source, fraction, salt), "test"))
    return parts


def _hold_out(
    parts: dict[str, dict[str, str | None]],
    clips: Mapping[str, Sequence[FrameRecord]],
    source: Source,
    fraction: float,
    salt: str,
) -> None:
    """Move about `fraction` of each class's training videos to val."""
    for cls, of_class in parts.items():
        training = [clip.video for clip in clips[cls] if of_class.get(clip.video) == "train"]
        of_class.update(dict.fromkeys(draw(training, cls, source, fraction, salt), "val"))


def films(clips: Mapping[str, Iterable[FrameRecord]]) -> dict[tuple[str, str], str]:
    """Return (class, video) -> the file it is of, without suffix; several may be of one."""
    return {
        (cls, clip.video): str(Path(clip.file).with_suffix(""))
        for cls, of_class in clips.items()
        for clip in of_class
    }


def source_finder(
    pattern: str | None, files: Mapping[tuple[str, str], str] | None = None
) -> Source:
    """Return the function of (video, class) that names the film a video was cut from.

    `files` tells the file of each (class, video), for names that tell nothing. Raises `InputError`
    when `pattern` is not a regular expression with a group.
    """
    try:
        own = re.compile(pattern) if pattern else None
    except re.error as error:
        raise _bad_pattern(pattern, str(error)) from error
    if own and not own.groups:
        raise _bad_pattern(pattern, "it has no group")

    def find(video: str, cls: str) -> str:
        known = (_HMDB51_NAME.format(cls=re.escape(cls)), _UCF101_NAME)
        matches = [own.search(video)] if own else [re.fullmatch(name, video) for name in known]
        film = (files or {}).get((cls, video), video)
        return next((match[1] for match in matches if match and match[1]), film)

    return find


def _bad_pattern(pattern: str, why: str) -> InputError:
    return InputError(
        f"A pattern does not tell the source video: {why}.",
        where="dataset.source_video",
        found=pattern,
        fix=r"put the part that names the film in parentheses, as in '^(.+)_clip\d+$'",
    )


def draw(videos: Iterable[str], cls: str, source: Source, fraction: float, salt: str) -> list[str]:
    """Return about `fraction` of a class's videos, whole source videos only.

    At least one source, as long as another is left; none of a class that has just one.
    """
    if not 0 < fraction < 1:
        raise InputError("A fraction of videos must be between 0 and 1.", found=fraction)
    groups = defaultdict(list)
    for video in videos:
        groups[source(video, cls)].append(video)
    if len(groups) < 2:
        return []
    order = sorted(groups, key=lambda name: _hash(salt, cls, name))
    room = max(1, round(fraction * sum(map(len, groups.values()))))
    drawn = []
    for name in order:
        if len(drawn) + len(groups[name]) <= room:
            drawn += groups[name]
    return drawn or min((groups[name] for name in order), key=len)


def _hash(*texts: str) -> bytes:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).digest()


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


def _warn_of_shared_sources(rows: Sequence[Row], source: Source) -> None:
    """Name the source videos, such as films, that have clips in training and in test."""
    parts = defaultdict(set)
    for row in rows:
        parts[row.cls, source(row.video, row.cls)].add(row.part)
    shared = [f"{cls}/{film}" for (cls, film), of in parts.items() if {"train", "test"} <= of]
    if shared:
        log.warning(
            "%d of %d source videos have clips in training and in test, whose score is then too "
            "good: %s",
            len(shared),
            len(parts),
            some(sorted(shared)),
        )
