"""The progress bar of all tasks."""

import sys

from tqdm import tqdm

from actionrec.native.distributed import launch


def progress_bar(total: int, description: str, done: int = 0) -> tqdm:
    """Return a bar on stderr that counts clips from `done` to `total`; only rank 0 shows it."""
    return tqdm(
        total=total,
        initial=done,
        desc=description,
        unit="clip",
        file=sys.stderr,
        dynamic_ncols=True,
        mininterval=update_interval(),
        leave=False,
        disable=launch.rank() > 0,
    )


def update_interval() -> float:
    """Return the seconds between two updates of a bar: 0.5 on a terminal, else 5."""
    return 0.5 if sys.stderr.isatty() else 5.0
