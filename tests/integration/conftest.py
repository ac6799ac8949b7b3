"""A Docker engine for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import dockerd
import pytest


@pytest.fixture(scope="session")
def engine() -> Iterator[Path]:
    """Start a Docker engine with the stand-in's image; make it the one that `docker` finds."""
    dockerd.require_engine()
    with dockerd.running_engine() as socket, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{socket}")
        patch.setenv("CUDA_VISIBLE_DEVICES", "0")
        dockerd.import_image()
        yield socket
