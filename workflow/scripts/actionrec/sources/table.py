"""Read a user's list of clips: a table, a Kinetics CSV or an MMAction2 list, as it is.

A table has the columns path and label, and may have split, start and end (seconds). Kinetics has
youtube_id, time_start and time_end instead. MMAction2 has no header: "<path> <label index>".
"""

import csv
import hashlib
import logging
import math
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actionrec.errors import InputError, in_lines, some
from actionrec.frames.segments import Cut, write_cuts
from actionrec.frames.videos import is_video
from actionrec.utils.tables import read_table, write_table

PARTS_COLUMNS = ("video", "part")
SKIPPABLE = ("missing", "other_labels")

_COLUMNS = {
    "path": "path",
    "youtube_id": "youtube_id",
    "label": "label",
    "split": "split",
    "start": "start",
    "time_start": "start",
    "end": "end",
    "time_end": "end",
}
_PARTS = {
    "": "",
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LONGEST = 200  # bytes of a clip's name: file systems take 255

log = logging.getLogger(__name__)


class BadRow(Exception):
    """Say why a row of a list cannot be used."""


@dataclass(frozen=True)
class Entry:
    """One row: where it stands, its path or YouTube id, label, span in seconds, and part."""

    where: str
    name: str
    label: str
    start: float
    end: float
    part: str
    youtube: bool = False


@dataclass(frozen=True)
class _Clip:
    """A row with its video: `home` is what its file is called below the folder of videos."""

    entry: Entry
    file: Path
    home: Path
    start: float
    end: float


def list_table(
    lists: Mapping[str, Path],
    tables: Mapping[str, Path],
    parts: Mapping[str, Path],
    *,
    videos: Path | None = None,
    labels: Path | None = None,
    skip: Collection[str] = (),
    given: bool = False,
) -> None:
    """Write each class's table of clips to `tables`, and which part each is given to `parts`.

    `lists` maps "" to the one list, or train, val and test to a list each. Paths are relative to
    the folder `videos`, by default to the list's own. `labels` names the classes of an MMAction2
    list, one a line. `skip` may hold "missing" and "other_labels": such rows are left out with a
    warning. Raises `InputError`, and writes nothing, that names every row which cannot be used,
    and when a class has no row or, if `given`, no row states a part.
    """
    entries, faults = [], []
    for part, path in lists.items():
        found, bad = read_list(path, labels, part)
        entries += found
        faults += bad
    _refuse(faults, lists)
    entries = _of_classes(entries, list(tables), skip, lists)
    clips = _locate(entries, lists, videos, skip)
    if given and not any(clip.entry.part for clip in clips):
        raise InputError(
            "The list says of no clip whether it is for training or testing.",
            where=_where(lists),
            fix="add a column split (train, val, test), or set splits.method: fraction",
        )
    named = {cls: _named([c for c in clips if c.entry.label == cls], lists) for cls in tables}
    _require_rows(named, clips, lists)
    for cls, of_class in named.items():
        cuts = [
            Cut(name, str(clip.file), clip.file.stat().st_size, clip.start, clip.end)
            for name, clip in of_class.items()
        ]
        write_cuts(tables[cls], cuts)
        rows = sorted((name, clip.entry.part) for name, clip in of_class.items())
        write_table(parts[cls], PARTS_COLUMNS, rows)
    log.info("%d clips of %d classes", len(clips), len(named))


def read_parts(table: Path) -> dict[str, str | None]:
    """Return video -> train, val or test, or None for one that the list leaves without."""
    return {video: part or None for video, part in read_table(table, PARTS_COLUMNS)}


def read_list(path: Path, labels: Path | None, part: str) -> tuple[list[Entry], list[str]]:
    """Return the rows of a list, and what is wrong with the others; `part` holds for all of them.

    Raises `InputError` when the file is missing or of no known form.
    """
    lines = _text(path).splitlines()
    rows = _indexed(path, lines, labels) if labels else _columned(path, lines)
    entries, faults = [], []
    for number, cells in rows:
        where = f"{path.name}, line {number}"
        try:
            entries.append(_entry(where, cells, part))
        except BadRow as fault:
            faults.append(f"{where}: {fault}")
    return entries, faults


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InputError(
            "The list of clips cannot be read.",
            where="dataset.path, dataset.labels",
            found=f"{path}: {error.strerror}",
            fix="correct the path in the config",
        ) from error


def _columned(path: Path, lines: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and known columns of each row below a header."""
    header = lines[0] if lines else ""
    delimiter = max("\t,;", key=header.count)
    reader = csv.reader(lines, delimiter=delimiter)
    names = [_COLUMNS.get(name.strip().lower(), "") for name in next(reader, [])]
    if "label" not in names or not {"path", "youtube_id"} & set(names):
        raise InputError(
            "The list of clips has a header that is not understood.",
            where=path,
            found=header or "an empty file",
            allowed=["path,label[,split,start,end]", "label,youtube_id,time_start,time_end,split"],
            fix="correct the header; for lines of <path> <label index>, as MMAction2's, set "
            "dataset.labels to the file that names the classes",
        )
    for cells in reader:
        if any(cell.strip() for cell in cells):
            lacking = [""] * (len(names) - len(cells))
            yield reader.line_num, dict(zip(names, [*cells, *lacking], strict=False))


def _indexed(
    path: Path, lines: Sequence[str], labels: Path
) -> Iterator[tuple[int, dict[str, str]]]:
    names = [line.strip() for line in _text(labels).splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, index = line.strip().rpartition(" ")
        known = index.isdecimal() and int(index) < len(names)
        label = names[int(index)] if known else f"label {index}, of 0 to {len(names) - 1}"
        yield number, {"path": name if known else "", "label": label}


def _entry(where: str, cells: Mapping[str, str], part: str) -> Entry:
    youtube = "path" not in cells
    name = cells["youtube_id" if youtube else "path"].strip()
    label = unicodedata.normalize("NFC", cells["label"].strip())
    if not name or not label:
        raise BadRow(f"no path or no label: {', '.join(cells.values())}")
    start = _seconds(cells.get("start", ""), 0.0)
    end = _seconds(cells.get("end", ""), math.inf)
    if start >= end:
        raise BadRow(f"start {start:g} is not before end {end:g}")
    stated = cells.get("split", "").strip().lower()
    if stated not in _PARTS:
        raise BadRow(f"split {stated!r}, not train, val or test")
    return Entry(where, name, label, start, end, part or _PARTS[stated], youtube)


def _seconds(text: str, default: float) -> float:
    if not text.strip():
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise BadRow(f"time {text.strip()!r} is no number of seconds from 0 on")
    return value


def _where(lists: Mapping[str, Path]) -> str:
    return ", ".join(str(path) for path in lists.values())


def _refuse(faults: Sequence[str], lists: Mapping[str, Path], fix: str = "") -> None:
    if faults:
        raise InputError(
            f"{len(faults)} rows of the list cannot be used.",
            where=_where(lists),
            found=in_lines(faults),
            fix=fix or "correct or remove these rows",
        )


def _of_classes(
    entries: Sequence[Entry],
    classes: Sequence[str],
    skip: Collection[str],
    lists: Mapping[str, Path],
) -> list[Entry]:
    """Return the rows of the classes, with the label spelt as the class is."""
    spelling = {unicodedata.normalize("NFC", cls): cls for cls in classes}
    others = Counter(entry.label for entry in entries if entry.label not in spelling)
    if others and "other_labels" in skip:
        log.warning("Left out, not in dataset.classes: %s", some(_tally(others, classes)))
    elif others:
        raise InputError(
            f"{len(others)} labels of the list are not in dataset.classes.",
            where=_where(lists),
            found=in_lines(_tally(others, classes)),
            allowed=classes,
            fix="correct them, add them to dataset.classes, or leave their clips out: "
            "dataset.skip: [other_labels]",
        )
    kept = [entry for entry in entries if entry.label in spelling]
    return [Entry(**{**vars(entry), "label": spelling[entry.label]}) for entry in kept]


def _tally(labels: Counter[str], classes: Sequence[str]) -> list[str]:
    lines = []
    for label, count in sorted(labels.items()):
        twins = [cls for cls in classes if cls.casefold() == label.casefold()]
        hint = f"; did you mean {twins[0]!r}?" if twins else ""
        lines.append(f"{label} ({count} clips{hint})")
    return lines


def _locate(
    entries: Iterable[Entry],
    lists: Mapping[str, Path],
    videos: Path | None,
    skip: Collection[str],
) -> list[_Clip]:
    """Return the rows whose video is there."""
    root = videos or next(iter(lists.values())).parent
    by_stem: dict[str, Path] | None = None
    clips, missing = [], []
    for entry in entries:
        if entry.youtube and by_stem is None:
            by_stem = _videos_below(root)
        clip = _youtube_clip(entry, root, by_stem) if entry.youtube else _path_clip(entry, root)
        if clip and clip.file.is_file():
            clips.append(clip)
        else:
            missing.append(f"{entry.where}: {entry.name} is not in {root}")
    if missing and "missing" in skip:
        log.warning(
            "%d clips are left out, their video is missing: %s", len(missing), some(missing)
        )
    elif missing:
        _refuse(
            missing,
            lists,
            "correct the paths or dataset.videos, the folder that they are relative to; or leave "
            "such clips out: dataset.skip: [missing]",
        )
    return clips


def _path_clip(entry: Entry, root: Path) -> _Clip:
    return _Clip(entry, root / entry.name, Path(entry.name), entry.start, entry.end)


def _youtube_clip(entry: Entry, root: Path, by_stem: Mapping[str, Path]) -> _Clip | None:
    """Return the trimmed clip <id>_<start>_<end> of a Kinetics row, or the span of a whole <id>."""
    trimmed = f"{entry.name}_{_six(entry.start)}_{_six(entry.end)}"
    if file := by_stem.get(trimmed):
        return _Clip(entry, file, file.relative_to(root), 0.0, math.inf)
    if file := by_stem.get(entry.name):
        return _Clip(entry, file, file.relative_to(root), entry.start, entry.end)
    return None


def _six(seconds: float) -> str:
    return f"{int(seconds):06d}" if seconds < math.inf else ""


def _videos_below(root: Path) -> dict[str, Path]:
    """Return stem -> video, of all videos in a folder and its subfolders."""
    return {
        Path(name).stem: Path(folder, name)
        for folder, _, names in os.walk(root)
        for name in sorted(names, reverse=True)
        if is_video(name)
    }


def _named(clips: Sequence[_Clip], lists: Mapping[str, Path]) -> dict[str, _Clip]:
    """Return a class's clips by names for folders: the videos', or if they clash the paths'."""
    groups = defaultdict(list)
    for clip in clips:
        groups[_name(clip.home.stem, clip)].append(clip)
    named: dict[str, _Clip] = {}
    faults = []
    for name, group in groups.items():
        one_file = len({clip.file for clip in group}) == 1
        for clip in group:
            path = ".".join(part for part in clip.home.with_suffix("").parts if part != "/")
            own = name if one_file else _name(path, clip)
            if own in named:
                faults.append(f"{clip.entry.where}: the same as {named[own].entry.where}")
            named[own] = clip
    _refuse(faults, lists, "list each clip once, under names that differ in more than the suffix")
    return named


def _name(stem: str, clip: _Clip) -> str:
    span = ""
    if clip.start > 0 or clip.end < math.inf:
        span = f"_{clip.start:g}-{f'{clip.end:g}' if clip.end < math.inf else 'end'}"
    safe = re.sub(r"[/\x00-\x1f\x7f]", "_", stem)
    safe = f"_{safe[1:]}" if safe.startswith(".") else safe
    raw = os.fsencode(safe)
    if len(raw) > _LONGEST:
        start = raw[: _LONGEST - 20].decode("utf-8", "ignore")
        safe = f"{start}~{hashlib.sha256(raw).hexdigest()[:16]}"
    return safe + span


def _require_rows(
    named: Mapping[str, Mapping], clips: Sequence[_Clip], lists: Mapping[str, Path]
) -> None:
    empty = [cls for cls, of_class in named.items() if not of_class]
    if empty:
        raise InputError(
            "Classes without a clip in the list.",
            where=_where(lists),
            found=some(empty),
            allowed=sorted({clip.entry.label for clip in clips}),
            fix="correct dataset.classes",
        )
