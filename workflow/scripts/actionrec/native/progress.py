"""The progress bar of all tasks."""

import sys

from tqdm import tqdm

from actionrec.native.distributed import launch


def bar(total: int, description: str, done: int = 0) -> tqdm:
    """Return a bar over clips on stderr, in one of several processes."""
    return tqdm(
        total=total,
        initial=done,
        desc=description,
        unit="clip",
        file=sys.stderr,
        dynamic_ncols=True,
        mininterval=interval(),
        leave=False,
        disable=launch.rank() > 0,
    )


def interval() -> float:
    """Return the seconds between looks at a bar: twice a second on a terminal, else every five."""
    return 0.5 if sys.stderr.isatty() else 5.0
