"""How the benchmarks write what they measured several times."""

import statistics
from collections.abc import Sequence


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Return the median, with the lowest and the highest in brackets."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:{form}} ({low:{form}}-{high:{form}})"
