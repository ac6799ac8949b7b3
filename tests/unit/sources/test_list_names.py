"""Lists and archives name videos by whatever names file systems have."""

import io
import os
import shutil
import tarfile
import unicodedata

import pytest

from actionrec.errors import InputError
from actionrec.frames.segments import read_segments
from actionrec.frames.videos import folder_name, video_names
from actionrec.sources.archives import unpack_class
from actionrec.sources.file_names import on_disk
from actionrec.sources.split_files import read_class_file
from actionrec.sources.table import VideoList, list_table, read_groups, read_parts


@pytest.fixture
def listed(tmp_path):
    """Return a function that reads a list of empty videos, made on the way, of class walk."""

    def read(content, files=(), name="list.csv", **options):
        for file in files:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).touch()
        (tmp_path / name).write_bytes(os.fsencode(content))
        tables = {"walk": tmp_path / "walk.tsv"}
        list_table(
            VideoList({"": tmp_path / name}, **options), tables, {"walk": tmp_path / "parts.tsv"}
        )
        return {segment.video: segment.file for segment in read_segments(tables["walk"])}

    return read


def refusal(listed, content, **options):
    with pytest.raises(InputError) as caught:
        listed(content, **options)
    return str(caught.value)


AWKWARD = [
    *("a\u2028b.mp4", "a\x85b.mp4", "a\x0bb.mp4", "a\x1cb.mp4", "a\nb.mp4", "a, b.mp4"),
    *('say "x".mp4', "-x.mp4", "=1+1.mp4", "x" * 251 + ".mp4", "caf\udce9.mp4", "{v1} <a>.mp4"),
]


@pytest.mark.parametrize("name", AWKWARD, ids=ascii)
def test_a_cell_in_quotes_holds_any_name(listed, tmp_path, name):
    cell = name.replace('"', '""')
    found = listed(f'path,label\n"{cell}",walk\r\nb.mp4,walk\n', [name, "b.mp4"])
    assert len(found) == 2
    (made,) = found.keys() - {"b"}
    assert found[made] == str(tmp_path / name)
    assert made.isprintable() and len(made.encode()) <= 255


def test_line_numbers_count_the_lines_of_the_file(listed):
    said = refusal(listed, 'path,label\n"a\nb.mp4",walk\nc.mp4,\n', files=["a\nb.mp4"])
    assert "list.csv, line 4: no label: c.mp4" in said


def test_quotes_that_are_not_closed_lose_no_row_silently(listed):
    said = refusal(listed, 'path,label\na.mp4,walk\n"b.mp4,walk\nc.mp4,walk\n', files=["a.mp4"])
    assert "unexpected end of data" in said
    assert "close the quotes" in said


def test_a_comma_too_many_is_named(listed):
    said = refusal(listed, "path,label\na, b.mp4,walk\n")
    assert "line 2: 3 cells for 2 columns" in said


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_an_accent_is_one_character_or_two(listed, tmp_path, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    name, written = (unicodedata.normalize(f, "Übung/é.mp4") for f in (form, other))
    assert listed(f"path,label\n{written},walk\n", [name]) == {
        name.split("/")[1][:-4]: str(tmp_path / name)
    }
    assert on_disk(tmp_path / written) == tmp_path / name
    assert on_disk(tmp_path / "none" / written) == tmp_path / "none" / written


def test_folders_of_kinetics_may_be_links_even_in_a_circle(listed, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/aaaaaaaaaaa_000005_000015.mp4").touch()
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/train").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/back").symlink_to(tmp_path / "videos")
    text = "label,youtube_id,time_start,time_end\nwalk,aaaaaaaaaaa,5,15\n"
    found = listed(text, videos=tmp_path / "videos")
    assert list(found) == ["aaaaaaaaaaa_000005_000015"]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a.mp4 7", "there is no label 7, labels.txt has the labels 0 to 1: 'a.mp4 7'"),
        ("a.mp4,0", "'a.mp4,0' is no path, a space and the index of a label"),
        ("a.mp4", "'a.mp4' is no path, a space and the index"),
        ("a.mp4 walk", "'walk' behind the last space is no index of a label: 'a.mp4 walk'"),
        ("a.mp4 -1", "'-1' behind the last space is no index"),
    ],
)
def test_a_line_of_mmaction2_that_says_nothing_is_shown(listed, tmp_path, row, fault):
    (tmp_path / "labels.txt").write_text("walk\nrun\n")
    text = f"b.mp4 0\n{row}\n"
    said = refusal(listed, text, files=["b.mp4"], labels=tmp_path / "labels.txt")
    assert f"line 2: {fault}" in said


def test_mmaction2_with_tabs_spaces_and_line_separators(listed, tmp_path):
    (tmp_path / "labels.txt").write_text("walk\n")
    files = ["a b.mp4", "c\u2028d.mp4"]
    found = listed("a b.mp4\t0\r\nc\u2028d.mp4  0\n", files, labels=tmp_path / "labels.txt")
    assert set(found) == {"a b", "c_d"}


def test_parts_and_groups(listed, tmp_path):
    text = "path,label,Split,GROUP\na.mp4,walk,train,Ann\nb.mp4,walk,test,\nc.mp4,walk,,é\n"
    listed(text, ["a.mp4", "b.mp4", "c.mp4"])
    assert read_parts(tmp_path / "parts.tsv") == {"a": "train", "b": "test", "c": None}
    assert read_groups(tmp_path / "parts.tsv") == {"a": "Ann", "c": "é"}


def test_an_unknown_column_is_named(listed, caplog):
    listed("path,label,person,notes\na.mp4,walk,Ann,x\n", ["a.mp4"])
    assert "columns without a meaning here: person, notes" in caplog.text
    assert "is to be named group" in caplog.text


@pytest.mark.parametrize("column", ["spilt", "groups", "Splits", "strat"])
def test_a_misspelt_column_is_refused(listed, column):
    said = refusal(listed, f"path,label,{column}\na.mp4,walk,train\n")
    assert f"found:   {column}" in said
    assert "did you mean" in said


def test_two_columns_of_one_meaning_are_refused(listed):
    assert "Two columns of the list are 'start'" in refusal(
        listed, "path,label,start,time_start\na.mp4,walk,1,2\n"
    )


def test_folders_of_frames_have_names_that_every_program_reads():
    assert folder_name("caf\udce9\udc96") == "café–"
    assert folder_name("a\nb\x1b[31m\x85\u2028/c") == "a_b_[31m___c"
    files = ["caf\udce9.mp4", "café.mp4", "a\nb.avi", "a_b.avi", "a\tb.avi"]
    names = video_names(files)
    assert len(set(names.values())) == len(files)
    assert names["café.mp4"] == "café"
    assert names["caf\udce9.mp4"] == "café.mp4"
    assert names["a_b.avi"] == "a_b"


def test_a_split_file_names_a_video_of_any_name(tmp_path):
    path = tmp_path / "walk_test_split1.txt"
    path.write_bytes("a\u2028b.avi 1\ncaf\udce9.avi 2\n".encode(errors="surrogateescape"))
    assert read_class_file(path) == {"a_b": "train", "café": "test"}


@pytest.mark.parametrize(
    "name", ["walk/" + "x" * 300 + ".avi", "/".join(["d" * 50] * 100) + "/walk/b.avi"]
)
def test_a_name_too_long_for_a_file_system_is_refused_before_unpacking(tmp_path, name):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    with pytest.raises(InputError, match="too long for a file system"):
        unpack_class(tmp_path / "a.tar", "walk", tmp_path / "walk", tmp_path / "t.tsv")
    assert not (tmp_path / "walk").exists()


def test_a_name_of_255_bytes_is_unpacked(tmp_path):
    name = "é" * 125 + "x.avi"
    assert len(name.encode()) == 255
    (tmp_path / "in/walk").mkdir(parents=True)
    (tmp_path / "in/walk" / name).write_text("abc")
    shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "in")
    unpack_class(tmp_path / "a.zip", "walk", tmp_path / "walk", tmp_path / "t.tsv")
    assert [path.name for path in (tmp_path / "walk").iterdir()] == [name]
