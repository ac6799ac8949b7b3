"""The table of a split: which video is in which part, and what its images are."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

from actionrec.utils.tables import damaged, read_table, write_table

PARTS = ("train", "val", "test")
# class -> video -> train, val or test, or None for a video that is not used
Parts = dict[str, dict[str, str | None]]
COLUMNS = ("part", "class", "video", "frames", "format", "sha256", "flow")


@dataclass(frozen=True)
class Row:
    """One video of a split: its part (train, val or test), and what the manifest says of it.

    The frames' hash and format and the flow's cache key ("" where none is used) make the table
    change whenever the images do, and tell equal videos by different names.
    """

    part: str
    cls: str
    video: str
    frames: int
    format: str
    sha256: str
    flow: str = ""


_CELLS = attrgetter(*(field.name for field in fields(Row)))


def write_split(table: Path, rows: Iterable[Row]) -> None:
    """Write the rows of a split in their order."""
    write_table(table, COLUMNS, map(_CELLS, rows))


def read_split(table: Path) -> list[Row]:
    """Return the rows of a split table in its order.

    Raises `InputError` when the file is missing or damaged, or a name would leave its folder.
    """
    rows = []
    for part, cls, video, frames, *content in read_table(table, COLUMNS):
        if part not in PARTS or not frames.isdecimal() or {"", ".", ".."} & {cls, video}:
            raise damaged(table, f"the row {part}, {cls}, {video}")
        if "/" in cls + video:
            raise damaged(table, f"a name that leaves its folder: {video}")
        rows.append(Row(part, cls, video, int(frames), *content))
    return rows
