"""Remember which images of a class are finished, over kills and changes, for jobs side by side.

A journal is a table that only grows, by a row for each video: the last row of a video counts, and
one of a status without images takes back those before. So the jobs of several chunks of a class can
share a journal, and a later run can divide the class otherwise.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from actionrec.errors import InputError
from actionrec.utils.locks import locked
from actionrec.utils.tables import append_record, drop_partial_row, read_rows, write_records

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
    """The journal at `path` of records of a `kind`, of the videos whose name a chunk `holds`.

    `unusable` is the status of a video without images.
    """

    def __init__(
        self, path: Path, kind: type[AnyRecord], unusable: str, holds: Callable[[str], bool]
    ) -> None:
        self._path, self._kind, self._unusable = path, kind, unusable
        self._lock = path.with_suffix(".lock")
        with locked(self._lock):
            rows = self._rows()
            finished = {record.video: record for record in rows}
            finished = {video: record for video, record in finished.items() if record.usable}
            if len(rows) > 2 * len(finished) + 100:
                write_records(path, kind, finished.values())
        self.finished = {video: record for video, record in finished.items() if holds(video)}

    def _rows(self) -> list[AnyRecord]:
        if not self._path.exists():
            return []
        drop_partial_row(self._path)
        try:
            return read_rows(self._path, self._kind)
        except InputError:  # damaged, or by a version with other columns: nothing is known
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
        with locked(self._lock):
            if self._path.exists():  # another job may have been killed while it wrote
                drop_partial_row(self._path)
            append_record(self._path, record)
