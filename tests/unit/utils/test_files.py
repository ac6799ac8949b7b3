"""Files are replaced whole, and are on the disk before they take their place."""

import errno
import os

import pytest

from actionrec.utils import files


@pytest.fixture
def calls(monkeypatch):
    """Return what is synchronised and renamed, in order."""
    made = []
    fsync, replace = os.fsync, files.Path.replace

    def record_fsync(descriptor):
        made.append(("fsync", os.path.realpath(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def record_replace(path, target):
        made.append(("replace", str(target)))
        return replace(path, target)

    monkeypatch.setattr(files.os, "fsync", record_fsync)
    monkeypatch.setattr(files.Path, "replace", record_replace)
    return made


def test_a_file_is_on_the_disk_before_it_takes_its_place_and_its_name_after(calls, tmp_path):
    files.write_text(tmp_path / "table.tsv", "x")
    (first, part), (second, target), (third, folder) = calls
    assert (first, second, third) == ("fsync", "replace", "fsync")
    assert part.endswith("/table.tsv") and part != target == str(tmp_path / "table.tsv")
    assert folder == str(tmp_path)


def test_a_file_system_that_cannot_synchronise_is_written_to(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(files.os, "fsync", refuse)
    files.write_text(tmp_path / "table.tsv", "x")
    assert (tmp_path / "table.tsv").read_text() == "x"


def test_temporary_names_of_long_names_fit_and_differ(tmp_path):
    for letter in ("x", "ä", "語", "🎬"):
        width = len(letter.encode())
        names = [letter * (250 // width) + end for end in ("a", "b")]
        assert len({files.hidden_name(name) for name in names}) == 2
        for name in names:
            assert len(os.fsencode(files.hidden_name(name))) + 90 < files.MAX_NAME_BYTES
            files.write_text(tmp_path / name, name)
    assert files.hidden_name("walk") == ".walk"
    assert len(list(tmp_path.iterdir())) == 8
