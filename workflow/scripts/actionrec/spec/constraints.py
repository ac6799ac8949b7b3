"""Dataclass fields that know which values they may take, as metadata."""

from dataclasses import field
from typing import Any


def one_of(*allowed: str, default: str | None) -> Any:
    """Return a field whose value is one of `allowed`."""
    return field(default=default, metadata={"allowed": allowed})


def span(low: float, high: float = float("inf")) -> dict[str, Any]:
    """Return the metadata of a field whose value, or each of its list, is in [low, high]."""
    return {"range": (low, high)}


def within(low: float, high: float = float("inf"), *, default: float | None) -> Any:
    """Return a field whose value is in [low, high]."""
    return field(default=default, metadata=span(low, high))
