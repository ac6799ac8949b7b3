"""A table that cannot be used is either damaged or of another kind, and the error says which."""

import csv
from dataclasses import dataclass

import pytest

from actionrec.utils.tables import (
    DamagedTable,
    OtherTable,
    read_csv,
    read_records,
    read_table,
    write_csv,
    write_records,
    write_table,
)


@dataclass(frozen=True)
class Item:
    """A record with a default, as the tables have them."""

    name: str
    number: int = 0


def test_records_come_back_sorted_with_their_types(tmp_path):
    table = tmp_path / "table.tsv"
    write_records(table, Item, [Item("b", 2), Item("a", 1)])
    assert table.read_text() == "name\tnumber\na\t1\nb\t2\n"
    assert read_records(table, Item) == [Item("a", 1), Item("b", 2)]


def test_a_whole_table_of_other_columns_is_not_called_damaged(tmp_path):
    table = tmp_path / "table.tsv"
    write_table(table, ["file", "bytes"], [["a.avi", 3]])
    with pytest.raises(OtherTable) as caught:
        read_records(table, Item)
    assert caught.value.columns == ("file", "bytes")
    assert "another dataset.source, or by another version" in str(caught.value)
    assert "found:   columns file, bytes" in str(caught.value)
    assert "allowed: name, number" in str(caught.value)
    assert f"snakemake -f {table} --cores 1" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "scribble\n",
        "name\tnumber\na\n",
        "name\tnumber\na\tmany\n",
        '"name\tnumber\n',
        "\0\0\tnumber\n",
        "<html>\t404\n",
    ],
)
def test_anything_else_is_damaged(tmp_path, content):
    table = tmp_path / "table.tsv"
    table.write_text(content)
    with pytest.raises(DamagedTable, match="missing or damaged"):
        read_records(table, Item)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DamagedTable, match="no such file"):
        read_table(tmp_path / "none.tsv", ["name"])


CELLS = ["=1+1", "+1", "@SUM(A1)", "\tx", "\r=x", "-2+3|cmd", "-(1)", "'=x", "''@x"]
HARMLESS = ["-_FREE_HUGS_-_goo_10", "-0.5", "'tis", "a=b", "", "a\nb", 'say "x"', "caf\udce9", -1.5]


def test_no_cell_of_a_csv_is_a_formula_and_all_are_read_back(tmp_path):
    rows = [{"name": cell, "number": 1} for cell in CELLS + HARMLESS]
    write_csv(tmp_path / "a.csv", ("name", "number"), rows)
    with (tmp_path / "a.csv").open(newline="", errors="surrogateescape") as file:
        raw = [row["name"] for row in csv.DictReader(file)]
    assert all(cell.startswith("'") for cell in raw[: len(CELLS)])
    assert raw[len(CELLS) :] == list(map(str, HARMLESS))
    found = [row["name"] for row in read_csv(tmp_path / "a.csv")]
    assert found == list(map(str, CELLS + HARMLESS))


def test_a_table_of_any_name_that_a_file_system_takes(tmp_path):
    name = "日" * 83 + ".tsv"
    write_table(tmp_path / name, ("a", "b"), [("x", "y\u2028z")])
    assert read_table(tmp_path / name, ("a", "b")) == [["x", "y\u2028z"]]
