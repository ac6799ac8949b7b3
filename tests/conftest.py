"""Fixtures for all tests."""

import os
import subprocess
from pathlib import Path

import pytest

from helpers import REPOSITORY


@pytest.fixture
def repository() -> Path:
    """Return the root of the repository."""
    return REPOSITORY


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 2 MB that a test can make larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)
