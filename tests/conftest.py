"""Fixtures for all tests."""

import compileall
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from helpers import REPOSITORY

SLURM = ("test_slurm.py", "test_containers_on_slurm.py")


def pytest_configure(config: pytest.Config) -> None:
    """Prepare what the processes that the tests start inherit."""
    # Heed Ctrl-C, as they must: the jobs of a shell's background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Hundreds of them import the package: it is compiled once, also for clones of the workflow.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(REPOSITORY / "workflow/scripts", quiet=1)


class ByFile(LoadScopeScheduling):
    """Gives each file of tests to one worker, those that share an engine or a Slurm to the same."""

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.partition("::")[0])
        if file.parent.name != "integration":
            return str(file)
        return "Slurm" if file.name in SLURM else "container engines"


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Spread the tests over the workers, in the order of the command line's folders."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture
def repository() -> Path:
    """Return the root of the repository."""
    return REPOSITORY


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that mounts a small memory disk with tmpfs options and says where."""
    disk = tmp_path / "disk"
    program = shutil.which("mount") or "mount"  # found here: a test may change PATH

    def mount(options: str) -> Path:
        disk.mkdir()
        command = [program, "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("mounting a small file system needs root")
        return disk

    yield mount
    if disk.is_mount():
        # What a test has started may use the disk for a moment longer.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def small_disk(mount_disk: Callable[[str], Path]) -> Path:
    """Return a file system of 2 MB that a test can make larger."""
    return mount_disk("size=2m")
