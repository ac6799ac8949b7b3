"""Read the official split files of HMDB51 and UCF101, which have different names.

HMDB51 has a file for each class and split; UCF101 has a list of training videos and one of test
videos for each split. The rest of the workflow reads HMDB51's form alone, so UCF101's lists are
converted into it.
"""

import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from actionrec.errors import InputError, in_lines, some
from actionrec.frames.videos import is_video, video_names
from actionrec.utils.text import lines_of

NUMBERS = (1, 2, 3)

# HMDB51: walk_test_split1.txt with lines "<video>.avi <0|1|2>".
CLASS_FILE = re.compile(r"(.+)_test_split([123])\.txt")
_PARTS = {"0": None, "1": "train", "2": "test"}
# UCF101: trainlist01.txt with lines "<class>/<video>.avi <id>", testlist01.txt without the ids,
# and classInd.txt with lines "<id> <class>".
_LIST = re.compile(r"(train|test)list0([123])\.txt")
_LISTED = re.compile(r"([^/]+)/([^/]+?\.\w+)(?:\s+(\d+))?")
_INDEX = "classInd.txt"

Lists = dict[str, dict[str, str]]  # class -> video -> "train" or "test"


def is_split_file(name: str) -> bool:
    """Tell whether a file of this name is one of HMDB51's or UCF101's split files."""
    return bool(CLASS_FILE.fullmatch(name) or _LIST.fullmatch(name)) or name == _INDEX


def class_files(
    files: Mapping[str, Path], classes: Sequence[str], folder: Path, source: Path
) -> list[Path]:
    """Write `<class>_test_split{1,2,3}.txt` of `classes` to `folder` and return the paths.

    `files` are split files by name; HMDB51's are copied. `source`, where they come from, is named
    in errors. Raises `InputError` when a file or a class is missing, or a list contradicts itself.
    """
    if not any(CLASS_FILE.fullmatch(name) for name in files) and files:
        return _converted(files, classes, folder, source)
    wanted = [f"{cls}_test_split{number}.txt" for cls in classes for number in NUMBERS]
    missing = [name for name in wanted if name not in files]
    if missing:
        raise _missing_files(source, missing, files)
    return [Path(shutil.copyfile(files[name], folder / name)) for name in wanted]


def _missing_files(source: Path, missing: Sequence[str], names: Collection[str]) -> InputError:
    there = _classes_of(names)
    return InputError(
        f"There are no split files of some classes: {some(missing)}",
        where=source,
        found=some(sorted(_classes_of(missing))),
        allowed=sorted(there) or "<class>_test_split1.txt..., trainlist01.txt, testlist01.txt...",
        fix="correct dataset.classes, name the split files of this dataset, or set splits.method "
        "to fraction",
    )


def _classes_of(names: Iterable[str]) -> set[str]:
    return {match[1] for name in names if (match := CLASS_FILE.fullmatch(name))}


def read_class_file(path: Path) -> dict[str, str | None]:
    """Return video -> "train", "test" or None for unused, as a file of HMDB51's form says.

    Raises `InputError` that names each line which is not `<video>.avi <0|1|2>`, or repeats one.
    """
    files: dict[str, str | None] = {}
    faults = []
    for number, line in _lines(path):
        *words, code = line.rsplit(None, 1)
        file = "".join(words).strip()
        if code not in _PARTS or not file or file in files:
            faults.append(f"line {number}: {line!r}")
            continue
        files[file] = _PARTS[code]
    if faults or not files:
        raise InputError(
            "A split file does not say which video is for training and which for testing.",
            where=path,
            found=in_lines(faults) if faults else "no line",
            allowed="<video>.avi 0 (unused), 1 (training), 2 (test), each video once",
            fix="correct the file or download it again",
        )
    # The names that the same files get in a folder; a list may leave the suffix out.
    names = video_names(filter(is_video, files))
    return {names.get(file, file): part for file, part in files.items()}


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, with their numbers."""
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    for number, line in enumerate(lines_of(text), 1):
        if line.strip():
            yield number, line


def _converted(
    files: Mapping[str, Path], classes: Sequence[str], folder: Path, source: Path
) -> list[Path]:
    needed = [f"{part}list0{number}.txt" for number in NUMBERS for part in ("train", "test")]
    missing = [name for name in needed if name not in files]
    if missing:
        raise InputError(
            "There are lists of UCF101's form, but not of all three splits.",
            where=source,
            found=f"no {some(missing)}",
            fix="download UCF101TrainTestSplits-RecognitionTask.zip again",
        )
    splits = {number: _read_lists(files, number, source) for number in NUMBERS}
    known = {cls for lists in splits.values() for cls in lists}
    if unknown := [cls for cls in classes if cls not in known]:
        raise InputError(
            f"The split lists do not have some classes: {some(unknown)}",
            where=source,
            found=unknown[0],
            allowed=sorted(known),
            fix="correct dataset.classes, or name the split files of this dataset",
        )
    return [_write_class_file(folder, cls, number, splits) for cls in classes for number in NUMBERS]


def _write_class_file(folder: Path, cls: str, number: int, splits: Mapping[int, Lists]) -> Path:
    videos = sorted({video for lists in splits.values() for video in lists.get(cls, ())})
    codes = {part: code for code, part in _PARTS.items()}
    parts = splits[number].get(cls, {})
    path = folder / f"{cls}_test_split{number}.txt"
    text = "".join(f"{video} {codes[parts.get(video)]} \n" for video in videos)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return path


def _read_lists(files: Mapping[str, Path], number: int, source: Path) -> Lists:
    """Return the parts of split `number`, class by class; raise `InputError` if lists disagree."""
    lists: Lists = defaultdict(dict)
    ids = _read_index(files[_INDEX]) if _INDEX in files else {}
    faults = []
    for part in ("train", "test"):
        path = files[f"{part}list0{number}.txt"]
        for at, line in _lines(path):
            match = _LISTED.fullmatch(line.strip())
            fault = (
                _fault(match, lists, ids) if match else "is not a class, a video and perhaps an id"
            )
            if match and not fault:
                lists[match[1]][match[2]] = part
            else:
                faults.append(f"{path.name}, line {at}: {line.strip()!r} {fault}")
    if faults:
        raise InputError(
            "The split lists contradict themselves.",
            where=source,
            found=in_lines(faults),
            allowed="<class>/<video>.avi, <class>/<video>.avi <id of the class>",
            fix="correct the lists or download them again",
        )
    return lists


def _read_index(path: Path) -> dict[str, str]:
    """Return id -> class."""
    return dict(line.split(None, 1) for _, line in _lines(path) if len(line.split(None, 1)) == 2)


def _fault(match: re.Match[str], lists: Lists, ids: dict[str, str]) -> str:
    """Return what is wrong with a line of a list, or ""; add the class's id to `ids`."""
    cls, video, number = match.groups()
    if video in lists[cls]:
        return "is there twice"
    if number and ids.setdefault(number, cls).strip() != cls:
        return f"has the id of {ids[number].strip()}"
    return ""
