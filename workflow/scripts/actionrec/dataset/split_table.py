"""The table of a split: which video is in which part, and of which content."""

from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path

from actionrec.errors import InputError
from actionrec.utils.tables import read_table

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Row:
    """One video of a split: its part (train, val or test), and what the manifest says of it.

    The frames' hash and format and the flow's label ("" where none is used) make the table change
    whenever the images do, and tell equal videos by different names.
    """

    part: str
    cls: str
    video: str
    frames: int
    format: str
    sha256: str
    flow: str = ""


COLUMNS = ("part", "class", "video", "frames", "format", "sha256", "flow")


_CELLS = attrgetter(*(field.name for field in fields(Row)))


def read_split(table: Path) -> list[Row]:
    """Return the rows of a split table in its order.

    Raises `InputError` when the file is missing or damaged.
    """
    rows = []
    for part, cls, video, frames, *content in read_table(table, COLUMNS):
        if part not in PARTS or not frames.isdecimal() or {"", ".", ".."} & {cls, video}:
            raise InputError("A split table is damaged.", where=table, found=(part, cls, video))
        if "/" in cls + video:
            raise InputError("A name in a split table leaves its folder.", where=table, found=video)
        rows.append(Row(part, cls, video, int(frames), *content))
    return rows
