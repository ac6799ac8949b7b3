"""Work folders of processes that were killed are removed by the next one, and no others."""

import fcntl
import subprocess
import sys

import pytest

from actionrec.utils import files
from actionrec.utils.work_folder import work_folder
from helpers.engine import environment

WRITER = """
import sys
from pathlib import Path
from actionrec.utils.files import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_text("half")
    print("writing", flush=True)
    sys.stdin.readline()
    part.write_text("whole")
"""


@pytest.fixture
def writer(tmp_path):
    """Return a process that has written half of table.tsv and waits for a line to go on."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "table.tsv")]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environment(), stdin=pipe, stdout=pipe)
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.communicate()


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_next_writer_removes_what_killed_ones_left(tmp_path, writer):
    for number in (1, 3):  # the second is at a number that cannot have been reached alone
        (tmp_path / f".table.tsv.part{number}").mkdir()
    writer.kill()
    writer.wait()
    assert ".table.tsv.part0" in names(tmp_path)
    files.write_text(tmp_path / "table.tsv", "new")
    assert names(tmp_path) == [".table.tsv.part3", "table.tsv"], (
        "numbers without a gap are looked at"
    )


def test_two_writers_do_not_disturb_each_other(tmp_path, writer):
    files.write_text(tmp_path / "table.tsv", "other")
    assert names(tmp_path) == [".table.tsv.part0", "table.tsv"]
    writer.communicate(b"\n")
    assert (tmp_path / "table.tsv").read_text() == "whole"
    assert names(tmp_path) == ["table.tsv"]


def test_writers_in_one_process_have_folders_of_their_own(tmp_path):
    with work_folder(tmp_path / ".x") as one, work_folder(tmp_path / ".x") as other:
        assert one != other and one.is_dir()
    assert names(tmp_path) == []


def test_nothing_is_removed_where_folders_have_no_locks(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError("no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with work_folder(tmp_path / ".x") as one, work_folder(tmp_path / ".x") as other:
        assert one != other and one.is_dir()
    assert names(tmp_path) == []


def test_a_folder_that_is_taken_for_abandoned_before_its_lock_is_made_again(tmp_path, monkeypatch):
    flock, calls = fcntl.flock, []

    def late(descriptor, operation):
        if not calls:
            calls.append(operation)
            (tmp_path / ".x.part0").rmdir()  # by another process, which had the lock
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with work_folder(tmp_path / ".x") as folder:
        assert folder.is_dir()
    assert calls and names(tmp_path) == []


def test_a_missing_parent_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), work_folder(tmp_path / "none" / ".x"):
        pass
