"""Remember which images of a class are finished, over kills and changes, for jobs side by side.

A journal is a table that only grows, by a row for each video: the last row of a video counts, and
one of a status without images takes back those before. So the jobs of several chunks of a class can
share a journal, and a later run can divide the class otherwise.
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from actionrec.utils.chunks import WHOLE, Chunk
from actionrec.utils.locks import locked
from actionrec.utils.small_files import require_file
from actionrec.utils.tables import (
    DamagedTable,
    OtherTable,
    append_record,
    drop_partial_row,
    read_rows,
    write_records,
)

log = logging.getLogger(__name__)


class Record(Protocol):
    """What a table says of a video's images: a frozen dataclass, `video` first."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def video(self) -> str:
        """Return the name of the video's folder."""

    @property
    def usable(self) -> bool:
        """Tell whether the video has images."""


AnyRecord = TypeVar("AnyRecord", bound=Record)


class Journal(Generic[AnyRecord]):
    """The journal at `path` of records of a `kind`, of the videos of a chunk of the class.

    `unusable` is the status of a video without images.
    """

    def __init__(self, path: Path, kind: type[AnyRecord], unusable: str, chunk: Chunk) -> None:
        self._path, self._kind, self._unusable, self._chunk = path, kind, unusable, chunk
        with self._locked():
            rows = self._rows()
            finished = {record.video: record for record in rows}
            finished = {video: record for video, record in finished.items() if record.usable}
            if len(rows) > 2 * len(finished) + 100:
                write_records(path, kind, finished.values())
        self.finished = {video: record for video, record in finished.items() if chunk.holds(video)}

    def _locked(self) -> AbstractContextManager[object]:
        """Keep the jobs of other chunks out; who makes the whole class has a lock of its own."""
        return nullcontext() if self._chunk == WHOLE else locked(self._path.with_suffix(".lock"))

    def _rows(self) -> list[AnyRecord]:
        require_file(self._path)
        if not self._path.exists():
            return []
        drop_partial_row(self._path)
        try:
            return read_rows(self._path, self._kind)
        except (DamagedTable, OtherTable):  # the latter by another version: nothing is known
            log.warning("%s cannot be read: all images are made again", self._path)
            self._path.unlink()
            return []

    def add(self, record: AnyRecord) -> None:
        """State that a video's images are finished."""
        self.finished[record.video] = record
        self._append(record)

    def take_back(self, video: str) -> None:
        """State that nothing is known any more of a video's images."""
        if record := self.finished.pop(video, None):
            self._append(replace(record, status=self._unusable))

    def _append(self, record: AnyRecord) -> None:
        # The whole table for each video would take as long as 10 frames.
        with self._locked():
            if self._path.exists():  # another job may have been killed while it wrote
                drop_partial_row(self._path)
            append_record(self._path, record)
