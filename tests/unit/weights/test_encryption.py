"""Encryption with NVIDIA's package, where a Python for it is found."""

import sys
from dataclasses import replace

import pytest

from actionrec.errors import InputError
from actionrec.utils import environments
from actionrec.weights import encryption


def test_an_etlt_is_made_by_nvidias_code_and_is_not_plain(tmp_path):
    if not encryption.is_ready() and encryption.find_python() is None:
        pytest.skip("no Python 3.12 or 3.10 on this machine: uv python install 3.12")
    plain = bytes(range(256)) * 64
    (tmp_path / "model.onnx").write_bytes(plain)
    encryption.encrypt_onnx(tmp_path / "model.onnx", tmp_path / "model.etlt")
    made = (tmp_path / "model.etlt").read_bytes()
    assert made[:4] == b"\0\0\0\0"
    assert len(made) == len(plain) + 20
    assert plain[:64] not in made
    assert encryption.wanted("auto")


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """Return a folder that is home and PATH, in which no environment has been made."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_a_python_the_message_says_what_to_install(bare):
    assert not encryption.wanted("auto")
    assert encryption.wanted("always")
    with pytest.raises(InputError, match=r"uv python install 3\.12"):
        encryption.encrypt_onnx(bare / "model.onnx", bare / "model.etlt")
    assert not (bare / "model.etlt").exists()


def test_a_shim_for_a_missing_python_is_not_taken_for_one(bare):
    shim = bare / "python3.12"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert encryption.find_python() is None


def test_a_python_that_cannot_make_the_environment_leaves_none_behind(bare, monkeypatch):
    broken = bare / "python3.12"
    broken.write_text("#!/bin/sh\nexit 0\n")
    broken.chmod(0o755)
    monkeypatch.setattr(environments, "find_python", lambda versions: broken)
    with pytest.raises(InputError, match="could not be made"):
        encryption.prepare()
    assert not encryption.is_ready()
    assert [path for path in bare.iterdir() if "encryption" in path.name] == []


@pytest.mark.slow
@pytest.mark.parametrize("version", encryption.ENVIRONMENT.pythons)
def test_each_python_reads_what_the_other_wrote(version, tmp_path, monkeypatch):
    """NVIDIA's packages for the two differ in their own version."""
    alone = replace(encryption.ENVIRONMENT, pythons=(version,))
    if environments.find_python(alone.pythons) is None:
        pytest.skip(f"no Python {version} on this machine: uv python install {version}")
    kind, secret = encryption.encrypt(b"some weights" * 1000)
    assert len(kind) == 10 and b"weights" not in secret
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(encryption, "ENVIRONMENT", alone)
    assert encryption.decrypt(secret, kind) == b"some weights" * 1000
    assert (tmp_path / "encryption" / "bin" / f"python{version}").exists()


def test_modules_of_this_python_do_not_reach_the_other(tmp_path, monkeypatch):
    """A PYTHONPATH set for the one would give the other packages that it cannot load."""
    if not encryption.is_ready() and encryption.find_python() is None:
        pytest.skip("no Python 3.12 or 3.10 on this machine: uv python install 3.12")
    (tmp_path / "cryptography.py").write_text("raise ImportError('of another Python')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert encryption.decrypt(*reversed(encryption.encrypt(b"weights" * 99))) == b"weights" * 99


def test_an_empty_key_is_refused(monkeypatch):
    monkeypatch.setenv("TAO_KEY", "")
    with pytest.raises(InputError, match="unset TAO_KEY"):
        encryption.key()
