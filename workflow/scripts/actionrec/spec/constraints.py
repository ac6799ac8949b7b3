"""Fields of the spec's dataclasses: what a key means and which values it may take."""

from collections.abc import Sequence
from dataclasses import field
from math import inf
from typing import Any


def key(
    default: Any,
    help: str,
    *,
    allowed: Sequence[str] = (),
    low: float | None = None,
    high: float = inf,
) -> Any:
    """Return a dataclass field that knows its explanation and the values it may take.

    The first paragraph of `help` stands in the tables of config/README.md, others below them.
    `allowed` are the options of a string; `low` and `high` bound a number, or each of a list.
    """
    metadata: dict[str, Any] = {"help": help}
    if allowed:
        metadata["allowed"] = tuple(allowed)
    if low is not None:
        metadata["range"] = (low, high)
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)
