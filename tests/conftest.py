"""Fixtures for all tests."""

from pathlib import Path

import pytest

from helpers import REPOSITORY


@pytest.fixture
def repository() -> Path:
    """Return the root of the repository."""
    return REPOSITORY
