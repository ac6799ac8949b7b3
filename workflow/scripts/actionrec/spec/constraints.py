"""Fields of the spec's dataclasses: what a key means and which values it may take."""

from collections.abc import Sequence
from dataclasses import field
from math import inf
from typing import Any

# The metadata of a key whose value changes how a task runs, and nothing in what it leaves.
CHANGES_NO_RESULT = {"changes_results": False}


def key(
    default: Any,
    help: str,
    *,
    allowed: Sequence[str] = (),
    low: float | None = None,
    high: float = inf,
    changes_results: bool = True,
) -> Any:
    """Return a dataclass field that knows its explanation and the values it may take.

    The first paragraph of `help` stands in the tables of config/README.md, others below them.
    `allowed` are the options of a string; `low` and `high` bound a number, or each of a list.
    `changes_results` is whether a result depends on the key, and not only how a task runs.
    """
    metadata: dict[str, Any] = {"help": help}
    if not changes_results:
        metadata |= CHANGES_NO_RESULT
    if allowed:
        metadata["allowed"] = tuple(allowed)
    if low is not None:
        metadata["range"] = (low, high)
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)
