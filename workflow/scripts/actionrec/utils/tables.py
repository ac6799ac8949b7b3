"""Read and write the small sorted TSV files that rules hand on to each other."""

import csv
import errno
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from io import StringIO
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from actionrec.errors import InputError
from actionrec.utils.files import replacing, write_text

Record = TypeVar("Record")

# Names come from file systems, which promise neither UTF-8 nor freedom from tabs: the csv module
# quotes the latter, and surrogates carry the former unchanged through a write and a read.
_TEXT = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` under a header of `columns`, whole or not at all."""
    text = _as_text([columns, *rows])
    with replacing(path) as part:
        part.write_text(text, **_TEXT)


def _as_text(rows: Sequence[Sequence[object]]) -> str:
    # Before Python 3.13 the csv module forgets that a carriage return needs quotes.
    odd = any("\r" in str(cell) for row in rows for cell in row)
    quoting = csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL
    text = io.StringIO()
    csv.writer(text, "excel-tab", lineterminator="\n", quoting=quoting).writerows(rows)
    return text.getvalue()


def read_table(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Return the rows below the header, each with as many cells as there are `columns`.

    Raises `InputError` when the file is missing or holds anything else.
    """
    try:
        with path.open(**_TEXT) as file:
            header, *rows = csv.reader(file, "excel-tab", strict=True)
    except FileNotFoundError:
        raise unreadable(path, "no such file") from None
    except (ValueError, csv.Error) as error:
        raise unreadable(path, error) from error
    if header != list(columns):
        raise unreadable(path, f"columns {', '.join(header)}", columns)
    for row in rows:
        if len(row) != len(columns):
            raise unreadable(path, f"{len(row)} cells in the row {row}", columns)
    return rows


def write_records(path: Path, kind: type, records: Iterable[Any]) -> None:
    """Write dataclass instances of `kind` as rows, sorted by their first fields."""
    columns = [field.name for field in fields(kind)]
    write_table(path, columns, sorted(map(attrgetter(*columns), records)))


def append_record(path: Path, record: Any) -> None:
    """Add a dataclass instance to a table, or make it, by one write; a full disk leaves no half.

    A kill may leave one, which `drop_half_row` removes.
    """
    columns = [field.name for field in fields(record)]
    with path.open("ab", buffering=0) as file:
        end = file.tell()
        rows = [attrgetter(*columns)(record)] if end else [columns, attrgetter(*columns)(record)]
        content = _as_text(rows).encode(_TEXT["encoding"], _TEXT["errors"])
        if file.write(content) < len(content):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def drop_half_row(path: Path) -> None:
    """Cut off what stands behind the last line break of a table."""
    content = path.read_bytes()
    os.truncate(path, content.rfind(b"\n") + 1)


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """Return the rows of a table as instances of `kind`, sorted by their first field.

    Raises `InputError` when the file is missing, or a cell is not of its field's type or refused
    by the class with a `ValueError`.
    """
    columns = [field.name for field in fields(kind)]
    types = [field.type for field in fields(kind)]
    try:
        records = [
            kind(*(convert(cell) for convert, cell in zip(types, row, strict=True)))
            for row in read_table(path, columns)
        ]
    except ValueError as error:
        raise unreadable(path, error) from error
    return sorted(records, key=lambda record: getattr(record, columns[0]))


def unreadable(path: Path, found: object, columns: Sequence[str] | None = None) -> InputError:
    """Return the error for a table that is not what the workflow wrote."""
    return InputError(
        "A table of the workflow is missing or damaged.",
        where=path,
        found=found,
        allowed=columns,
        fix=f"remake it: snakemake -f {path} --cores 1",
    )


def write_csv(
    target: Path | str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Write rows as a CSV file with a header, whole or not at all."""
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(target, text.getvalue())


def read_csv(path: Path | str) -> list[dict[str, str]]:
    """Read a CSV file with a header into one mapping a row."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
