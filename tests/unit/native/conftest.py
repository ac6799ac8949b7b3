"""Fixtures of the engine's tests."""

from collections.abc import Iterator

import pytest
import torch

from helpers.engine import drawn, moving, trained

__all__ = ["drawn", "moving", "trained"]


@pytest.fixture
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide GPUs, which round otherwise than what a test compares with."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(autouse=True)
def own_precision() -> Iterator[None]:
    """Leave the precision of float32 products as it was before a test."""
    places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
    before = [place.fp32_precision for place in places]
    yield
    for place, precision in zip(places, before, strict=True):
        place.fp32_precision = precision
