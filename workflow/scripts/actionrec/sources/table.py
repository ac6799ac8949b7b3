"""Read a user's list of videos, whole or in segments, as it is: `source: table`.

It is a table, a Kinetics CSV or an MMAction2 list. A table has the columns path and label, and may
have split, group, start and end (seconds). Kinetics has youtube_id, time_start and time_end
instead. MMAction2 has no header: "<path> <label index>".
"""

import csv
import io
import logging
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from actionrec.errors import InputError, in_lines, one_line, some
from actionrec.frames.segments import Segment, write_segments
from actionrec.frames.videos import folder_name, is_video, video_names
from actionrec.sources.file_names import normal, on_disk
from actionrec.utils.files import shortened
from actionrec.utils.tables import read_table, write_table
from actionrec.utils.text import count, lines_of

PARTS_COLUMNS = ("video", "part", "group")

_COLUMNS = {
    "path": "path",
    "youtube_id": "youtube_id",
    "label": "label",
    "split": "split",
    "group": "group",
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
_NAMED = 20  # faults in a message
_LONGEST = 200  # bytes of a name: file systems take 255

log = logging.getLogger(__name__)


class BadRow(Exception):
    """Say why a row of a list cannot be used."""


@dataclass(frozen=True)
class VideoList:
    """A user's list, and how to read it.

    `files` maps "" to the one list, or train, val and test to a list each. Paths in it are relative
    to the folder `videos`, by default to the list's own. `labels` names the classes of an MMAction2
    list, one a line. `skip` may hold "missing" and "other_labels": such rows are left out with a
    warning.
    """

    files: Mapping[str, Path]
    videos: Path | None = None
    labels: Path | None = None
    skip: Collection[str] = ()

    @property
    def where(self) -> str:
        """Return the list's files, for messages."""
        return ", ".join(str(path) for path in self.files.values())

    @property
    def root(self) -> Path:
        """Return the folder that paths are relative to."""
        return self.videos or next(iter(self.files.values())).parent

    @cached_property
    def videos_by_stem(self) -> dict[str, Path]:
        """Return stem -> video, of all videos in the folder and below, also behind links."""
        return {
            normal(Path(name).stem): Path(folder, name)
            for folder, names in _walk(self.root)
            for name in sorted(names, reverse=True)  # so that the first of equal stems remains
            if is_video(name)
        }


@dataclass(frozen=True, slots=True)
class Given:
    """What a list says of a video: its part or "", and its group, such as a person, or ""."""

    part: str
    group: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, its path or YouTube id, label, span in seconds, part and group."""

    where: str
    name: str
    label: str
    start: float
    end: float
    given: Given
    youtube: bool = False


@dataclass(frozen=True, slots=True)
class _LocatedRow:
    """A row with its video file, the file's path below the folder of videos, and the span in it."""

    row: Row
    file: Path
    relative: Path
    start: float
    end: float


def list_table(
    videos: VideoList,
    tables: Mapping[str, Path],
    parts: Mapping[str, Path],
    *,
    given: bool = False,
) -> None:
    """Write each class's table of segments to `tables`, and part and group of each to `parts`.

    Raises `InputError`, and writes nothing, that names every row which cannot be used, and when a
    class has no row or, if `given`, no row states a part.
    """
    rows, faults = [], []
    for part, path in videos.files.items():
        good, bad = read_list(path, videos.labels, part)
        rows += good
        faults += bad
    _refuse(faults, videos)
    located = _locate(_of_classes(rows, list(tables), videos), videos)
    if given and not any(found.row.given.part for found in located):
        raise InputError(
            "The list says of no video whether it is for training or testing.",
            where=videos.where,
            fix="add a column split (train, val, test), or set splits.method: fraction",
        )
    of_class = defaultdict(list)
    for found in located:
        of_class[found.row.label].append(found)
    named = {cls: _named(of_class[cls], videos) for cls in tables}
    _require_rows(named, located, videos)
    for cls, segments in named.items():
        write_segments(
            tables[cls],
            [
                Segment(name, str(found.file), found.file.stat().st_size, found.start, found.end)
                for name, found in segments.items()
            ],
        )
        write_parts(parts[cls], {name: found.row.given for name, found in segments.items()})
    log.info("%s of %s", count(len(located), "row"), count(len(named), "class"))


def write_parts(table: Path, given: Mapping[str, Given]) -> None:
    """Write which part each video is given: train, val, test, or "" for none; and its group."""
    rows = [(video, of.part, of.group) for video, of in sorted(given.items())]
    write_table(table, PARTS_COLUMNS, rows)


def read_parts(table: Path) -> dict[str, str | None]:
    """Return video -> train, val or test, or None for one that the list leaves without."""
    return {video: part or None for video, part, _ in read_table(table, PARTS_COLUMNS)}


def read_groups(table: Path) -> dict[str, str]:
    """Return video -> group, of those that have one."""
    return {video: group for video, _, group in read_table(table, PARTS_COLUMNS) if group}


def _walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder and its files, also those that links lead to, each real one once."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()  # a link that leads back
            continue
        seen.add((status.st_dev, status.st_ino))
        yield folder, names


def read_list(path: Path, labels: Path | None, part: str) -> tuple[list[Row], list[str]]:
    """Return the rows of a list, and what is wrong with the others; `part` holds for all of them.

    Raises `InputError` when the file is missing or of no known form.
    """
    text = _text(path)
    numbered = _mmaction2_rows(text, labels) if labels else _rows_below_header(path, text)
    rows, faults = [], []
    for number, cells in numbered:
        where = f"{path.name}, line {number}"
        try:
            rows.append(_row(where, cells, part))
        except BadRow as fault:
            faults.append(f"{where}: {fault}")
    return rows, faults


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise _cannot_read(path, error) from error


def _cannot_read(path: Path, error: OSError) -> InputError:
    return InputError(
        "The list of videos cannot be read.",
        where="dataset.path, dataset.labels",
        found=f"{path}: {error.strerror}",
        fix="correct the path in the config",
    )


def require_inputs(lists: Iterable[Path], videos: Path | None) -> None:
    """Raise `InputError` unless the lists can be read and the folder of their videos is there."""
    for path in lists:
        try:
            path.open().close()
        except OSError as error:
            raise _cannot_read(path, error) from error
    if videos and not videos.is_dir():
        raise InputError(
            "dataset.videos is not a folder.",
            where="dataset.videos",
            found=videos,
            fix="correct it: the paths in the list are relative to this folder",
        )


def _rows_below_header(path: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and known columns of each row below a header."""
    header = lines_of(text)[0]
    # The header alone decides: paths below it may hold any of these characters.
    delimiter = max("\t,;", key=header.count)
    # Not of split lines: a cell in quotes may hold line breaks.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = _known_columns(path, header, next(reader, []))
        first = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield first, _by_column(names, cells)
            first = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"The list of videos cannot be read from line {reader.line_num} on: {error}.",
            where=path,
            fix='close the quotes, and double those in a cell: "say ""cheese"".mp4",walk',
        ) from error


def _known_columns(path: Path, header: str, cells: Sequence[str]) -> list[str]:
    """Return what each column is, "" for one of no use, which a warning names."""
    given = [cell.strip() for cell in cells]
    names = [_COLUMNS.get(name.lower(), "") for name in given]
    if "label" not in names or not {"path", "youtube_id"} & set(names):
        raise InputError(
            "The list of videos has a header that is not understood.",
            where=path,
            found=header or "an empty file",
            allowed="path,label[,split,group,start,end]; "
            "label,youtube_id,time_start,time_end,split",
            fix="correct the header; for lines of <path> <label index>, as MMAction2's, set "
            "dataset.labels to the file that names the classes",
        )
    unknown = [name for name, known in zip(given, names, strict=True) if name and not known]
    _refuse_doubtful_columns(path, header, names, unknown)
    if unknown:
        log.warning(
            "%s: columns without a meaning here: %s; known are %s. What must not be on two sides "
            "of a split, such as a person or a scene, is to be named group",
            path,
            some(unknown),
            ", ".join(_COLUMNS),
        )
    return names


def _refuse_doubtful_columns(
    path: Path, header: str, names: Sequence[str], unknown: Sequence[str]
) -> None:
    """Raise `InputError` for two columns of one meaning, and for a name that looks misspelt."""
    twice = [name for name, number in Counter(filter(None, names)).items() if number > 1]
    meant = next((n for n in unknown if get_close_matches(n.lower(), _COLUMNS, 1, 0.75)), None)
    if twice or meant:
        raise InputError(
            f"Two columns of the list are {twice[0]!r}."
            if twice
            else "A column of the list is not known, and may be meant for one that is.",
            where=path,
            found=meant or header,
            allowed=list(_COLUMNS),
            fix="rename the column, or remove it",
        )


def _by_column(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if any(cell.strip() for cell in cells[len(names) :]):
        columns = count(len(names), "column")
        return {"fault": f"{len(cells)} cells for {columns}; put a cell with a comma in quotes"}
    lacking = [""] * (len(names) - len(cells))  # spreadsheets leave empty cells at the end out
    return dict(zip(names, [*cells, *lacking], strict=False))


def _mmaction2_rows(text: str, labels: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number, path and label of each line."""
    names = [line.strip() for line in lines_of(_text(labels)) if line.strip()]
    for number, line in enumerate(lines_of(text), 1):
        if line.strip():
            yield number, _mmaction2_cells(line.strip(), names, labels)


def _mmaction2_cells(line: str, names: Sequence[str], labels: Path) -> dict[str, str]:
    name, index = [*re.split(r"[ \t]+(?=[^ \t]+$)", line), ""][:2]
    if not index:
        return {"fault": f"{line!r} is no path, a space and the index of a label"}
    if not (index.isascii() and index.isdecimal()):
        return {"fault": f"{index!r} behind the last space is no index of a label: {line!r}"}
    if int(index) >= len(names):
        known = f"{labels.name} has the labels 0 to {len(names) - 1}"
        return {"fault": f"there is no label {index}, {known}: {line!r}"}
    return {"path": name, "label": names[int(index)]}


def _row(where: str, cells: Mapping[str, str], part: str) -> Row:
    if "fault" in cells:
        raise BadRow(cells["fault"])
    youtube = "path" not in cells
    name = cells["youtube_id" if youtube else "path"].strip()
    label = normal(cells["label"].strip())
    if not name or not label:
        raise BadRow(f"no {'label' if name else 'path'}: {', '.join(cells.values())}")
    if "\0" in name:
        raise BadRow(f"the path holds a zero byte: {name!r}")
    start = _seconds(cells.get("start", ""), 0.0)
    end = _seconds(cells.get("end", ""), math.inf)
    if start >= end:
        raise BadRow(f"start {start:g} is not before end {end:g}")
    stated = cells.get("split", "").strip().lower()
    if stated not in _PARTS:
        raise BadRow(f"split {stated!r}, not train, val or test")
    given = Given(part or _PARTS[stated], normal(cells.get("group", "").strip()))
    return Row(where, name, label, start, end, given, youtube)


def _seconds(text: str, default: float) -> float:
    if not text.strip():
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # float() also reads nan, inf and -1; no comparison with nan is true.
    if not 0 <= value < math.inf:
        raise BadRow(f"time {text.strip()!r} is not a number of seconds from 0 on")
    return value


def _refuse(faults: Sequence[str], videos: VideoList, fix: str = "") -> None:
    if faults:
        more = _note_all(faults)
        raise InputError(
            f"{count(len(faults), 'row')} of the list cannot be used{more}.",
            where=videos.where,
            found=in_lines(faults, _NAMED),
            fix=fix or "correct or remove these rows",
        )


def _note_all(rows: Sequence[str]) -> str:
    """Write into the log what a message has no space for; return what the message says of it."""
    if len(rows) <= _NAMED:
        return ""
    for row in rows:
        log.info("%s", one_line(row))
    return "; the log of list_table names all of them"


def _of_classes(rows: Sequence[Row], classes: Sequence[str], videos: VideoList) -> list[Row]:
    """Return the rows of the classes, with the label spelt as the class is."""
    spelling = {normal(cls): cls for cls in classes}
    others = Counter(row.label for row in rows if row.label not in spelling)
    if others and "other_labels" in videos.skip:
        log.warning("Left out, not in dataset.classes: %s", some(_tally(others, classes)))
    elif others:
        labels = count(len(others), "label of the list is", "labels of the list are")
        raise InputError(
            f"{labels} not in dataset.classes.",
            where=videos.where,
            found=in_lines(_tally(others, classes)),
            allowed=classes,
            fix="correct them, add them to dataset.classes, or leave their rows out: "
            "dataset.skip: [other_labels]",
        )
    return [replace(row, label=spelling[row.label]) for row in rows if row.label in spelling]


def _tally(labels: Counter[str], classes: Sequence[str]) -> list[str]:
    lines = []
    for label, number in sorted(labels.items()):
        similar = [cls for cls in classes if cls.casefold() == label.casefold()]
        hint = f"; did you mean {similar[0]!r}?" if similar else ""
        lines.append(f"{label} ({count(number, 'row')}{hint})")
    return lines


def _locate(rows: Sequence[Row], videos: VideoList) -> list[_LocatedRow]:
    """Return the rows whose video is there."""
    located, missing = [], []
    for row in rows:
        found = _youtube_video(row, videos) if row.youtube else _video_at_path(row, videos)
        if found and found.file.is_file():
            located.append(found)
        else:
            missing.append(f"{row.where}: {row.name} is not in {videos.root}")
    if missing and "missing" in videos.skip:
        number = count(len(missing), "row")
        more = _note_all(missing)
        log.warning("%s left out, the video is missing: %s%s", number, some(missing), more)
    elif missing:
        _refuse(
            missing,
            videos,
            "correct the paths or dataset.videos, the folder that they are relative to; or leave "
            "such rows out: dataset.skip: [missing]",
        )
    return located


def _video_at_path(row: Row, videos: VideoList) -> _LocatedRow:
    file = on_disk(videos.root / os.path.expanduser(row.name))  # noqa: PTH111 -- knows no ~me
    relative = Path(row.name).parent / file.name  # one file, one name, however it is written
    return _LocatedRow(row, file, relative, row.start, row.end)


def _youtube_video(row: Row, videos: VideoList) -> _LocatedRow | None:
    """Return the trimmed <id>_<start>_<end> of a Kinetics row, or the span of a whole <id>."""
    trimmed = f"{row.name}_{_six_digits(row.start)}_{_six_digits(row.end)}"
    if file := videos.videos_by_stem.get(normal(trimmed)):
        return _LocatedRow(row, file, file.relative_to(videos.root), 0.0, math.inf)
    if file := videos.videos_by_stem.get(normal(row.name)):
        return _LocatedRow(row, file, file.relative_to(videos.root), row.start, row.end)
    return None


def _six_digits(seconds: float) -> str:
    return f"{int(seconds):06d}" if seconds < math.inf else ""


def _named(rows: Sequence[_LocatedRow], videos: VideoList) -> dict[str, _LocatedRow]:
    """Return a class's rows by the names of their folders of frames.

    The name is the file's without suffix. Files that differ by suffix alone are named as in a
    folder; where files of several folders have one name, it is made of the whole path. So names
    stay short, and a row that is added to a list renames only those that it clashes with. The span
    is part of a name: many rows may be of one file, but not of the same span of it.
    """
    groups = defaultdict(list)
    for row in rows:
        groups[_folder_name(row.relative.stem, row)].append(row)
    named: dict[str, _LocatedRow] = {}
    faults = []
    for group in groups.values():
        files = {row.file for row in group}
        unique = len({file.name for file in files}) == len(files)
        names = [row.relative.name if unique else _dotted(row.relative) for row in group]
        stems = video_names(names)
        for file_name, row in zip(names, group, strict=True):
            name = _folder_name(stems[file_name], row)
            if name in named:
                faults.append(f"{row.row.where}: the same as {named[name].row.where}")
            named[name] = row
    _refuse(faults, videos, "list each video or segment once")
    return named


def _dotted(path: Path) -> str:
    """Return a path as one name: `x/1.avi` is `x.1.avi`."""
    return ".".join(part for part in path.parts if part != path.anchor)


def _folder_name(stem: str, row: _LocatedRow) -> str:
    """Return a name that every file system takes, with the row's span if it has one."""
    span = ""
    if row.start > 0 or row.end < math.inf:
        span = f"_{row.start:g}-{f'{row.end:g}' if row.end < math.inf else 'end'}"
    safe = folder_name(stem)
    safe = f"_{safe[1:]}" if safe.startswith(".") else safe
    return shortened(safe, _LONGEST) + span


def _require_rows(
    named: Mapping[str, Mapping[str, _LocatedRow]],
    rows: Sequence[_LocatedRow],
    videos: VideoList,
) -> None:
    empty = [cls for cls, of_class in named.items() if not of_class]
    if empty:
        raise InputError(
            "Classes without a row in the list.",
            where=videos.where,
            found=some(empty),
            allowed=sorted({row.row.label for row in rows}),
            fix="correct dataset.classes",
        )
