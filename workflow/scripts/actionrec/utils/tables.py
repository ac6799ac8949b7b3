"""Read and write the small sorted TSV files that rules pass on to each other."""

import csv
import errno
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from actionrec.errors import InputError, snakemake_command
from actionrec.utils.files import replacing
from actionrec.utils.small_files import DamagedFile, opening
from actionrec.utils.text import count

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)

# Names come from file systems, which promise neither UTF-8 nor freedom from tabs: the csv module
# quotes the latter, and surrogates carry the former unchanged through a write and a read.
ENCODING, ERRORS = "utf-8", "surrogateescape"
# What a spreadsheet takes for a formula. Behind a minus, letters and digits alone do nothing.
_FORMULA = re.compile(r"[=+@\t\r]|-(?![\w .,-]*$)")


class DamagedTable(InputError):
    """A table that is missing, or not what the workflow wrote."""


class OtherTable(InputError):
    """A whole table with other columns: of another kind of source, or of another version.

    `columns` are those that it has.
    """

    def __init__(self, path: Path, columns: Sequence[str], expected: Sequence[str]) -> None:
        super().__init__(
            "A table of the workflow has other columns than it should. It was made for another "
            "dataset.source, or by another version.",
            where=path,
            found=f"columns {', '.join(columns)}",
            allowed=expected,
            fix=_remake(path),
        )
        self.columns = tuple(columns)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` under a header of `columns`, whole or not at all."""
    text = _as_text([columns, *rows])
    with replacing(path) as part:
        part.write_text(text, encoding=ENCODING, errors=ERRORS, newline="")


def _as_text(rows: Sequence[Sequence[object]], dialect: str = "excel-tab") -> str:
    # Before Python 3.13 the csv module forgets that a carriage return needs quotes.
    odd = any("\r" in str(cell) for row in rows for cell in row)
    text = io.StringIO()
    csv.writer(
        text,
        dialect,
        lineterminator="\n",
        quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL,
    ).writerows(rows)
    return text.getvalue()


def read_table(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Return the rows below the header, each with as many cells as there are `columns`.

    Raises `OtherTable` when it has a header of other columns, and `DamagedTable` when the file is
    missing or holds anything else, `NotAFile` when a folder or a pipe, say, is in its place.
    """
    try:
        with opening(path), path.open(encoding=ENCODING, errors=ERRORS, newline="") as file:
            header, *rows = csv.reader(file, "excel-tab", strict=True)
    except FileNotFoundError:
        raise damaged(path, "no such file") from None
    except (ValueError, csv.Error) as error:
        raise damaged(path, error) from error
    if header != list(columns):
        if len(header) > 1 and all(re.fullmatch(r"[a-z]\w*", name) for name in header):
            raise OtherTable(path, header, columns)
        raise damaged(path, f"columns {', '.join(header)}", columns)
    for row in rows:
        if len(row) != len(columns):
            raise damaged(path, f"{count(len(row), 'cell')} in the row {row}", columns)
    return rows


def write_records(
    path: Path, kind: "type[DataclassInstance]", records: Iterable["DataclassInstance"]
) -> None:
    """Write dataclass instances of `kind` as rows, sorted by their first fields."""
    columns = [field.name for field in fields(kind)]
    write_table(path, columns, sorted(map(attrgetter(*columns), records)))


def append_record(path: Path, record: "DataclassInstance") -> None:
    """Add a dataclass instance to a table, or start it, by one write; a full disk changes nothing.

    A kill may leave a part of the row, which `drop_partial_row` removes.
    """
    columns = [field.name for field in fields(record)]
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        rows = [attrgetter(*columns)(record)] if end else [columns, attrgetter(*columns)(record)]
        content = _as_text(rows).encode(ENCODING, ERRORS)
        if file.write(content) < len(content):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def drop_partial_row(path: Path) -> None:
    """Cut off what stands behind the last line break of a table."""
    with opening(path), path.open("rb") as file:
        if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) and file.read() == b"\n":
            return
    content = path.read_bytes()
    os.truncate(path, content.rfind(b"\n") + 1)


def read_records(path: Path, kind: "type[Record]") -> "list[Record]":
    """Return the rows of a table as instances of `kind`, sorted by their first field.

    Raises `OtherTable` and `DamagedTable` as `read_table` does, the latter too when a cell is not
    of its field's type or refused by the class with a `ValueError`.
    """
    return sorted(read_rows(path, kind), key=attrgetter(fields(kind)[0].name))


def read_rows(path: Path, kind: "type[Record]") -> "list[Record]":
    """Return the rows of a table as `read_records` does, but in the order in which they stand."""
    columns = [field.name for field in fields(kind)]
    types: list[Any] = [field.type for field in fields(kind)]
    others = [(index, of_type) for index, of_type in enumerate(types) if of_type is not str]
    records = []
    try:
        for row in read_table(path, columns):
            cells: list[Any] = row
            for index, of_type in others:
                cells[index] = of_type(cells[index])
            records.append(kind(*cells))
    except ValueError as error:
        raise damaged(path, error) from error
    return records


def damaged(path: Path, found: object, columns: Sequence[str] | None = None) -> DamagedTable:
    """Return the error for a table that is not what the workflow wrote."""
    return DamagedTable(
        "A table of the workflow is missing or damaged.",
        where=path,
        found=found,
        allowed=columns,
        fix=_remake(path),
    )


def _remake(path: Path) -> str:
    return f"remake it: {snakemake_command('-f', path, '--cores', 1)}"


def write_csv(
    target: Path | str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Write rows as a CSV file with a header, whole or not at all."""
    cells = [[_as_text_cell(row.get(column, "")) for column in columns] for row in rows]
    text = _as_text([columns, *cells], "excel")
    with replacing(target) as part:
        part.write_text(text, encoding=ENCODING, errors=ERRORS, newline="")


def read_csv(path: Path | str, *columns: str) -> list[dict[str, str]]:
    """Read a CSV file with a header into one mapping a row, as it was given to `write_csv`.

    Raises `DamagedFile` for one that lacks some of the `columns`, or cells of a row.
    """
    path = Path(path)
    rows = _read_mappings(path, columns, "excel", ERRORS)
    if any(None in row or None in row.values() for row in rows):
        raise DamagedFile(path, "a row with more or fewer cells than the header has")
    return [{key: _as_written_cell(cell) for key, cell in row.items()} for row in rows]


def _read_mappings(
    path: Path, columns: Sequence[str], dialect: str, errors: str
) -> list[dict[str, str]]:
    try:
        # A spreadsheet may have put a mark of the encoding before the header.
        with opening(path), path.open(encoding="utf-8-sig", errors=errors, newline="") as file:
            reader = csv.DictReader(file, dialect=dialect)
            rows, header = list(reader), reader.fieldnames or ()
    except (ValueError, csv.Error) as error:
        raise DamagedFile(path, error) from error
    if missing := [column for column in columns if column not in header]:
        raise DamagedFile(path, f"no column {missing[0]}")
    return rows


def _as_text_cell(cell: Any) -> Any:
    """Return a text that a spreadsheet would calculate with an apostrophe before it.

    Numbers, and names such as HMDB51's `-_FREE_HUGS_`, are harmless and stay as they are, so that
    joins by name go on to work. A text that looks like a marked one gets a mark too.
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell.lstrip("'")) else cell


def _as_written_cell(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell.lstrip("'")) else cell


def read_tsv(path: Path | str) -> list[dict[str, str]]:
    """Read a table of another program's, with tabs and a header, into one mapping a row."""
    return _read_mappings(Path(path), (), "excel-tab", "strict")
