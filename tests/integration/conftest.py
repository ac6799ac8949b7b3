"""A Docker engine for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import dockerd
import pytest
from projects import SPLIT, make_project

from helpers import snakemake


@pytest.fixture(scope="module", autouse=True)
def own_gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have a GPU 0, whose lease is not that of other jobs of this machine."""
    leases = str(tmp_path_factory.mktemp("leases"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "0")
        patch.setenv("TMPDIR", leases)
        patch.setattr("tempfile.tempdir", leases)
        yield


@pytest.fixture(scope="session")
def socket() -> Iterator[Path]:
    """Start a Docker engine with the stand-in's image; yield its socket."""
    dockerd.require_engine()
    with dockerd.running_engine() as socket:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", f"unix://{socket}")
            dockerd.import_image()
        yield socket


@pytest.fixture(scope="module")
def engine(socket: Path) -> Iterator[Path]:
    """Make the tests' Docker engine the one that `docker` finds; yield its socket."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{socket}")
        yield socket


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project in which everything is made but what needs an engine.

    Its path has a quote in it, and its frames lie elsewhere, behind a link.
    """
    folder = make_project(tmp_path_factory.mktemp("docker") / "it's a project")
    (folder / "resources").symlink_to(tmp_path_factory.mktemp("disk"))
    snakemake(folder, "--cores", "2", f"{SPLIT}/data", f"{SPLIT}/specs/train.yaml")
    return folder
