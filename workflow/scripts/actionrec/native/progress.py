"""The progress bar of all tasks."""

import sys

from tqdm import tqdm


def bar(total: int, description: str, done: int = 0) -> tqdm:
    """Return a bar over clips on stderr: twice a second on a terminal, else every five."""
    return tqdm(
        total=total,
        initial=done,
        desc=description,
        unit="clip",
        file=sys.stderr,
        dynamic_ncols=True,
        mininterval=0.5 if sys.stderr.isatty() else 5.0,
        leave=False,
    )
