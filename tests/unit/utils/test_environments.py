"""Pythons for packages of their own are found where uv looks, and where pyenv keeps them."""

import sys
from pathlib import Path

import pytest

from actionrec.utils.environments import find_python

THIS = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """Return a folder that is home and PATH, in which there is no Python."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "PATH"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("UV_PYTHON_INSTALL_DIR", raising=False)
    return tmp_path


def install(folder: Path) -> Path:
    """Put this Python into a folder of programs."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"python{THIS}"
    program.symlink_to(Path(sys._base_executable).resolve())
    return program


def test_the_first_version_that_is_on_path(bare):
    assert find_python([THIS]) is None
    program = install(bare)
    assert find_python(["3.99", THIS]) == program
    assert find_python(["3.99"]) is None


def test_a_version_of_pyenv_that_is_not_active(bare):
    """Its shim is on PATH, and fails."""
    shim = bare / f"python{THIS}"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert find_python([THIS]) is None
    program = install(bare / ".pyenv/versions" / THIS / "bin")
    assert find_python([THIS]) == program
