"""Engines, projects and a Slurm for all tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import dockerd
import pytest
import slurm_node
from apptainer_package import require_apptainer
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
def apptainer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an Apptainer that works."""
    return require_apptainer(tmp_path_factory.mktemp("apptainer"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project in which everything is made but what needs an engine.

    Its path has a quote in it, and its frames lie elsewhere, behind a link.
    """
    folder = make_project(tmp_path_factory.mktemp("docker") / "it's a project")
    (folder / "resources").symlink_to(tmp_path_factory.mktemp("disk"))
    snakemake(folder, "--cores", "2", f"{SPLIT}/data", f"{SPLIT}/specs/train.yaml")
    return folder


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run a Slurm while these tests last."""
    if why := slurm_node.obstacle():
        if os.environ.get("CI") and os.geteuid() == 0 and "own" not in why:
            pytest.fail(f"CI must test on a Slurm: {why}")
        pytest.skip(why)
    with slurm_node.running(tmp_path_factory.mktemp("slurm")):
        yield
