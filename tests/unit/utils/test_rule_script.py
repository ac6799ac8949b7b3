"""What surrounds the one call of a rule's script: its log, its errors, its files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actionrec.utils.rule_script import LOGS_ARE_PRINTED, as_paths, by_class, optional
from helpers import REPOSITORY

SCRIPT = """
import logging, sys
from types import SimpleNamespace
from actionrec.errors import InputError, some
from actionrec.utils.rule_script import rule_script

with rule_script(SimpleNamespace(log=[sys.argv[1]], rule="my_rule")):
    logging.getLogger("x").warning("Mind this.")
    if sys.argv[2] == "input":
        raise InputError("The file is bad.", fix="mend it")
    if sys.argv[2] == "name":
        logging.getLogger("x").warning("left out: %s", "a\\x1b[31m.avi")
        raise InputError(f"No label \\udcfcben, {some([chr(97) + chr(10) + chr(98)])}.")
    if sys.argv[2] == "bug":
        raise ValueError("a bug")
    if sys.argv[2] == "place":
        open("/tmp", "w")
"""


def run(folder: Path, how: str, **environment: str) -> tuple[int, str, str]:
    log = folder / "logs/my.log"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(log), how],
        env={
            **{key: value for key, value in os.environ.items() if key != LOGS_ARE_PRINTED},
            "PYTHONPATH": str(REPOSITORY / "workflow/scripts"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr, log.read_text() if log.is_file() else ""


def test_a_script_that_ends_well_leaves_its_warnings_in_both_places(tmp_path):
    code, terminal, log = run(tmp_path, "well")
    assert (code, terminal) == (0, "my_rule: Mind this.\n")
    assert "WARNING Mind this." in log


@pytest.mark.parametrize(
    ("how", "message"), [("input", "The file is bad.\n  fix:     mend it"), ("bug", "a bug")]
)
def test_an_error_is_in_the_log_and_once_in_the_terminal(tmp_path, how, message):
    code, terminal, log = run(tmp_path, how)
    assert code == 1
    assert terminal.count(message) == log.count(message) == 1
    assert ("Traceback" in log) == (how == "bug")


def test_where_snakemake_prints_the_log_the_terminal_has_the_error_from_there(tmp_path):
    code, terminal, log = run(tmp_path, "input", **{LOGS_ARE_PRINTED: "1"})
    assert code == 1
    assert terminal == "my_rule: Mind this.\n"
    assert "The file is bad." in log


def test_names_of_any_bytes_are_in_the_log(tmp_path):
    code, terminal, log = run(tmp_path, "name")
    assert code == 1
    for text in (terminal, log):
        assert "Traceback" not in text
        assert r"left out: a\x1b[31m.avi" in text
        assert r"No label \xfcben, a\nb." in text


def test_inputs_may_hold_several_files_one_or_none():
    assert as_paths("a") == as_paths(["a"]) == [Path("a")]
    assert as_paths(None) == as_paths([]) == []
    assert optional("a") == optional(["a"]) == Path("a")
    assert optional(None) is None and optional([]) is None
    assert by_class(["x", "y"], ["1", "2"]) == {"x": Path("1"), "y": Path("2")}
    assert by_class(["x", "y"], []) == {}
    with pytest.raises(ValueError, match="zip"):
        by_class(["x", "y"], ["1"])


@pytest.mark.parametrize(
    ("make", "found"), [(Path.mkdir, "a folder"), (os.mkfifo, "a pipe"), (None, "File exists")]
)
def test_a_log_that_cannot_be_written_is_named(tmp_path, make, found):
    log = tmp_path / "logs/my.log"
    if make:
        log.parent.mkdir()
        make(log)
    else:
        log.parent.touch()
    code, terminal, _ = run(tmp_path, "well", **{LOGS_ARE_PRINTED: "1"})
    assert code == 1
    assert str(log) in terminal and (found in terminal or "A file" in terminal)
    assert "fix:     move it away" in terminal and "Traceback" not in terminal


def test_a_folder_in_the_place_of_a_file_is_no_bug(tmp_path):
    code, terminal, log = run(tmp_path, "place")
    assert code == 1
    for text in (terminal, log):
        assert "in:      /tmp\n  found:   Is a directory" in text and "Traceback" not in text
