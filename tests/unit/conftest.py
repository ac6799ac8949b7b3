"""Fixtures for the tests of pages."""

import pytest

from helpers.browser import chromium


@pytest.fixture(scope="module")
def browser():
    """Yield Chromium."""
    with chromium() as found:
        yield found
