"""What an entry of the table is, and the one test that all entries share.

An area is a file test_<area>.py with a docstring and two names:

    FAULTS = [Fault(...), ...]
    test_fault = table.test_of(FAULTS)

A scene is a healthy state in a folder of its own and one action on it. An entry names a scene,
what goes wrong in it, what must then be seen and what must not be lost.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from actionrec.errors import InputError
from helpers import wait_for

TRACEBACK = "Traceback (most recent call last)"
# Temporary names: of work folders, of Python's, of unpacking, of frames, of downloads.
TEMPORARY = re.compile(r"\..*\.part\d+|\..*\.[a-z0-9_]{8}|\..*\.unpack-\w{8}|part-\w{8}|.*\.part")
# What every task may write at any time: locks, logs, and what TAO's status logger appends to.
ALWAYS_CHANGES = re.compile(r".*\.lock|\.lock|.*\.log|log|status\.json|experiment\.yaml")


class Scene:
    """A healthy state in `folder`, and an action on it.

    A scene overrides `prepare` and `act`, and `kept` where not every file must stay as it is.
    """

    def __init__(self, folder: Path, request: pytest.FixtureRequest) -> None:
        self.folder, self.request = folder, request
        self.monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        self._caplog: pytest.LogCaptureFixture = request.getfixturevalue("caplog")
        self.prepare()

    def prepare(self) -> None:
        """Make the state."""

    def act(self) -> str:
        """Do what the fault disturbs; return all that the user sees."""
        raise NotImplementedError

    def kept(self) -> Mapping[str, object]:
        """Return what must not be lost: by default all files by their content."""
        return dict(files_of(self.folder))

    def said(self, function: Callable[..., object], *arguments: Any, **named: Any) -> str:
        """Call a function; return the text of its `InputError`, if any, and of its warnings.

        Any other exception is what no user should see, and fails the test.
        """
        try:
            function(*arguments, **named)
            error = ""
        except InputError as refusal:
            error = str(refusal)
        return f"{error}\n{self._caplog.text}"


@dataclass(frozen=True)
class Fault:
    """One entry: `fault` and `how` it is injected, what must be `seen`, and what is `kept`.

    `fault`, `how` and `kept` are words, for docs/reliability.md; `inject` does it, and the scene
    states what is kept. Of `seen` all parts must be among what the user sees.
    """

    fault: str
    how: str
    scene: Callable[[Path, pytest.FixtureRequest], Any]
    inject: Callable[[Any], object]
    seen: str | tuple[str, ...]
    kept: str = "every file that was there"

    @property
    def all_seen(self) -> tuple[str, ...]:
        """Return what must be seen, in parts."""
        return (self.seen,) if isinstance(self.seen, str) else self.seen


def test_of(faults: Sequence[Fault]) -> Callable[..., None]:
    """Return the test of an area's entries."""

    @pytest.mark.parametrize("fault", faults, ids=[fault.fault for fault in faults])
    def test_fault(fault: Fault, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        check(fault, tmp_path, request)

    return test_fault


def check(fault: Fault, folder: Path, request: pytest.FixtureRequest) -> None:
    """Inject a fault; fail unless what must be seen is, and nothing is lost or left behind."""
    scene = fault.scene(folder, request)
    fault.inject(scene)
    before = scene.kept()
    said = scene.act()
    assert TRACEBACK not in said, said
    for text in fault.all_seen:
        assert text in said, f"not seen: {text!r} in\n{said}"
    after = scene.kept()
    lost = [name for name, content in before.items() if after.get(name) != content]
    assert not lost, f"lost or changed, though it must be kept: {lost}"
    wait_for(lambda: not processes_of(scene.folder))
    left = [str(path) for path in temporary_files(scene.folder)]
    assert not left, f"temporary files are left: {left}"


def files_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the name below `folder` and the content's hash of each file that should not change."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not ALWAYS_CHANGES.fullmatch(path.name):
            name = str(path.relative_to(folder))
            yield name, hashlib.sha256(path.read_bytes()).hexdigest()


def temporary_files(folder: Path) -> list[Path]:
    """Return what the workflow has left of what it was writing."""
    return [path for path in folder.rglob("*") if TEMPORARY.fullmatch(path.name)]


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes that work in a folder or name it, but this one."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        command = " ".join(process.info["cmdline"] or [])
        at_work = Path(process.info["cwd"] or "/").is_relative_to(folder) or str(folder) in command
        if at_work and process.pid != os.getpid():
            found.append(command)
    return found
