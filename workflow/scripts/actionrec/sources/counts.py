"""Count the videos of each class before any job, so that the plan can divide large classes.

Lists and folders can be counted. What an archive holds is known only when it is unpacked.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from actionrec.config import queries
from actionrec.frames.videos import is_video
from actionrec.sources.file_names import normal

THREADS = 4  # of the job of a class
MANY, SMALL = 64, 16  # classes of one thread each fill most machines; videos of a small class


def videos_of_classes(config: Mapping[str, Any]) -> dict[str, int]:
    """Return how many videos each class has, about; 0 where that is not known.

    Faults of lists and folders are not looked for: the jobs that read them name them all.
    """
    dataset = config["dataset"]
    classes = dataset["classes"]
    if dataset["source"] == "folder":
        return {cls: videos_in_folder(Path(dataset["path"], cls)) for cls in classes}
    if dataset["source"] == "table":
        labels = Path(dataset["labels"]) if dataset["labels"] else None
        found = rows_of_labels(map(Path, queries.lists(config).values()), labels)
        return {cls: found[normal(cls)] for cls in classes}
    return dict.fromkeys(classes, 0)


def threads_of_classes(videos: Mapping[str, int]) -> dict[str, int]:
    """Return the threads of the job of each class, by its number of videos (0: not known).

    Where classes are many, a small one gets one thread: its job mostly starts up, which more
    threads do not speed up, and jobs of other classes use the cores meanwhile.
    """
    many = len(videos) >= MANY
    return {
        cls: 1 if many and 0 < of_class <= SMALL else THREADS for cls, of_class in videos.items()
    }


def videos_in_folder(folder: Path) -> int:
    """Return how many videos a folder holds; 0 when it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sum(is_video(entry.name) for entry in entries)
    except OSError:
        return 0


def rows_of_labels(lists: Iterable[Path], labels: Path | None) -> Counter[str]:
    """Return how many rows of the lists have each label; nothing of a list that cannot be read.

    `labels` names the classes of an MMAction2 list, one a line.
    """
    found: Counter[str] = Counter()
    for path in lists:
        try:
            found += _of_indices(path, labels) if labels else _of_column(path)
        except (OSError, ValueError, csv.Error):
            continue
    # A letter with an accent may be written in two ways.
    normalised: Counter[str] = Counter()
    for label, rows in found.items():
        normalised[normal(label.strip())] += rows
    return normalised


def _of_column(path: Path) -> Counter[str]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline()
        delimiter = max("\t,;", key=header.count)  # as sources.table does
        names = [cell.strip().lower() for cell in next(csv.reader([header], delimiter=delimiter))]
        column = names.index("label")
        rows = csv.reader(file, delimiter=delimiter)
        return Counter(cells[column] for cells in rows if len(cells) > column)


def _of_indices(path: Path, labels: Path) -> Counter[str]:
    names = list(filter(str.strip, _lines(labels)))
    indices = Counter(line.split()[-1] for line in _lines(path) if line.strip())
    known = {str(index): name for index, name in enumerate(names)}
    return Counter({known[index]: rows for index, rows in indices.items() if index in known})


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        yield from file
