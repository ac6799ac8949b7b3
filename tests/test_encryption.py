"""Encryption with NVIDIA's package, where a Python for it is found."""

import pytest

from actionrec import encryption
from actionrec.errors import InputError


def test_an_etlt_is_made_by_nvidias_code_and_is_not_plain(tmp_path):
    if encryption.find_python() is None:
        pytest.skip("no Python 3.12 on this machine; " + encryption.INSTALL)
    plain = bytes(range(256)) * 64
    (tmp_path / "model.onnx").write_bytes(plain)
    encryption.encrypt_onnx(tmp_path / "model.onnx", tmp_path / "model.etlt")
    made = (tmp_path / "model.etlt").read_bytes()
    assert made[:4] == b"\0\0\0\0"
    assert len(made) == len(plain) + 20
    assert plain[:64] not in made


def test_without_a_python_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    encryption.find_python.cache_clear()
    try:
        assert not encryption.wanted("auto")
        with pytest.raises(InputError, match=r"uv python install 3\.12"):
            encryption.encrypt_onnx(tmp_path / "model.onnx", tmp_path / "model.etlt")
    finally:
        encryption.find_python.cache_clear()
    assert not (tmp_path / "model.etlt").exists()


def test_a_shim_for_a_missing_python_is_not_taken_for_one(tmp_path, monkeypatch):
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\necho 'python3.12: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    encryption.find_python.cache_clear()
    try:
        found = encryption.find_python()
    finally:
        encryption.find_python.cache_clear()
    assert found != shim
