"""Fixtures for deployment."""

import pytest

from helpers.exports import make_export


@pytest.fixture
def export(tmp_path):
    """Return the folder of an exported model that tells red, green and blue videos apart."""
    return make_export(tmp_path / "export")
