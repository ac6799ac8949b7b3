"""What stands in the place of a small file is named, and nothing waits for a pipe."""

import errno
import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import pytest

from actionrec.config import provenance
from actionrec.dataset.split_table import read_split
from actionrec.deploy import describe
from actionrec.deploy.model_card import read_card
from actionrec.errors import InputError
from actionrec.experiments import resume, status_json, successive_halving
from actionrec.experiments.predictions import read_predictions
from actionrec.frames import flow, staleness
from actionrec.frames.extraction import RGB
from actionrec.frames.flow_manifest import read_flow_manifest
from actionrec.frames.journal import Journal
from actionrec.frames.manifest import read_manifest
from actionrec.frames.segments import read_segments
from actionrec.frames.videos import read_files_table
from actionrec.report import deployment, settings
from actionrec.report.summary import Run
from actionrec.sources.table import read_parts
from actionrec.spec import render
from actionrec.utils import checksums, small_files
from actionrec.utils.chunks import WHOLE
from actionrec.utils.files import write_text
from actionrec.utils.small_files import DamagedFile, NotAFile, read_json, read_yaml
from actionrec.utils.tables import read_csv, read_tsv


def _journal(kind) -> Callable[[Path], object]:
    return lambda path: Journal(path, kind.record, kind.unusable, WHOLE)


# Each output of a rule, or other small file of the workflow's, with what reads it.
READERS: dict[str, Callable[[Path], object]] = {
    "tables/videos/walk.tsv": read_files_table,
    "tables/segments/walk.tsv": read_segments,
    "tables/parts/walk.tsv": read_parts,
    "tables/frames/walk.tsv": read_manifest,
    "tables/frames/of_plan.tsv": staleness.unreadable,
    "tables/flow/walk.tsv": read_flow_manifest,
    "tables/flow/of_plan.tsv": lambda path: staleness.stale_flow(path.parent, path),
    "frames/.walk/done.tsv": _journal(RGB),
    "frames/.walk/flow.tsv": _journal(flow.UV),
    "split.tsv": read_split,
    "history.csv": read_csv,
    "predictions.csv": read_predictions,
    "benchmarks/walk.tsv": read_tsv,
    "trials.csv": lambda path: successive_halving.is_stopped("a", path),
    "trial.json": lambda path: successive_halving.rank({"a": path}, 1, path.with_name("t.csv")),
    "metrics.json": describe._test_figures,
    "dataset.json": read_json,
    "report.json": lambda path: Run("a", 1, path.parent).json(path.name),
    "export/model.json": lambda path: read_card(path.parent),
    "export/precisions.json": deployment._checks,
    "a/settings.yaml": lambda path: settings.read_settings(path.parent.parent, ["a"]),
    "of_plan/settings.yaml": lambda path: provenance.changes(path, {"a": 1}),
    "specs/train.yaml": render.is_edited,
    "train/status.json": lambda path: status_json.read_records(path.parent),
    f"train/{resume._FINGERPRINT}": lambda path: resume._fingerprint_of(path.parent),
    "archive.rar.sha256": lambda path: checksums.recorded(path.with_suffix("")),
}


def folder(path):
    path.mkdir()
    (path / "of the user").touch()


def link(path):
    path.symlink_to(path.with_name("nothing"))


def unreadable(path):
    path.write_text("{}")
    path.chmod(0)


def loop(path):
    path.symlink_to(path.name)


def device(path):
    path.symlink_to("/dev/zero")


PLACES = {
    "a folder": folder,
    "a pipe": os.mkfifo,
    "a link that leads nowhere": link,
    "a device": device,
    "Permission denied": unreadable,
    "Too many levels of symbolic links": loop,
}


@pytest.fixture
def here():
    """Return a folder that all users may read; who waits for a pipe in it does so for a minute."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)

    def interrupt(*_: object) -> None:
        raise AssertionError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(60)
    yield path
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    shutil.rmtree(path)


@contextmanager
def as_another_user():
    """Read as a user who may not read all, as root may."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("found", PLACES)
@pytest.mark.parametrize("name", READERS)
def test_what_is_in_the_place_of_a_file_is_named(here, name, found):
    path = here / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # A device and a loop of links count as missing where that is asked for first.
    may_be_none = found in ("a link that leads nowhere", "Too many levels of symbolic links")
    PLACES[found](path)
    if name.endswith(".sha256"):
        path.with_suffix("").touch()
    try:
        with as_another_user():
            READERS[name](path)
    except InputError as error:
        assert str(path) in str(error) and found in str(error)
        assert "fix:     move it away or correct its rights" in str(error)
    else:
        assert may_be_none
    assert os.path.lexists(path)


CONTENTS = {
    "nothing": b"",
    "zeros": b"\0" * 50,
    "another encoding": "name\tv\xe9lo\n".encode("latin-1"),
    "two bytes a letter": "name\tvelo\n1\t2\n".encode("utf-16"),
    "other columns": b"a,a\tb\n1,2\tb\n",
    "a short row": b"video,label,prediction,score,experiment,kept\na\n",
    "a long row": b"video,label,prediction,score,experiment,kept\n" + b"a," * 9,
    "a long cell": b"a" * 200_000,
    "no end of a cell": b'"' + b"a\n" * 200,
    "deep brackets": b"[" * 3000,
    "another kind": b"[1]",
    "no keys": b"{}",
    "a long number": b"1" * 6000,
    "no date": b"2020-13-45",
}


@pytest.mark.parametrize("found", CONTENTS)
def test_whatever_is_in_a_file_is_read_or_named(here, found):
    for name, read in READERS.items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENTS[found])
        try:
            read(path)
        except InputError as error:
            assert str(path) in str(error), name


@pytest.mark.parametrize("found", ["a folder", "a pipe", "a link that leads nowhere", "a device"])
def test_a_written_file_takes_the_place_of_all_but_a_folder(here, found):
    path = here / "table.tsv"
    PLACES[found](path)
    if found == "a folder":
        with pytest.raises(InputError, match=r"A folder is in place of the file .*table\.tsv"):
            write_text(path, "new")
        assert (path / "of the user").exists()
    else:
        write_text(path, "new")
        assert stat.S_ISREG(path.lstat().st_mode)
        assert path.read_text() == "new"
    assert len(list(here.iterdir())) == 1


def test_a_socket_is_named(here):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(here / "s"))
        with pytest.raises(NotAFile, match="found:   a socket"):
            small_files.read_bytes(here / "s")


def test_nothing_is_no_error_of_a_place(here):
    small_files.require_file(here / "none")
    with pytest.raises(FileNotFoundError):
        small_files.read_text(here / "none")


@pytest.mark.parametrize(
    ("read", "content"), [(read_json, b"{"), (read_yaml, b"{"), (read_json, b"\xff")]
)
def test_a_damaged_file_is_named_with_what_to_do(here, read, content):
    (here / "file").write_bytes(content)
    with pytest.raises(DamagedFile, match=r"is damaged[^*]*/file[^*]*delete it and run"):
        read(here / "file")


def test_only_what_tells_of_a_place_is_explained(here):
    for number, text in ((errno.EISDIR, "move it away"), (errno.EIO, "network drive")):
        assert text in str(small_files.explained(OSError(number, "", str(here))))
    assert small_files.explained(OSError(errno.ENOENT, "", str(here))) is None
    assert small_files.explained(OSError(errno.EACCES, "")) is None
