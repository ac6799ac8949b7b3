"""Find files whose names a list or a configuration writes otherwise than the disk does.

A letter with an accent is one character (NFC: most systems) or two (NFD: macOS, archives made
there). `ls` shows both alike, so both mean the same file.
"""

import os
import unicodedata
from functools import lru_cache
from pathlib import Path


def normal(name: str) -> str:
    """Return a name as it is compared: each letter with its accents as one character."""
    return unicodedata.normalize("NFC", name)


def on_disk(path: Path) -> Path:
    """Return the path with its names in the Unicode form that is on disk, else as it is."""
    if os.path.lexists(path) or path.parent == path:
        return path
    parent = on_disk(path.parent)
    return parent / _listed(parent).get(normal(path.name), path.name)


@lru_cache(maxsize=256)
def _listed(folder: Path) -> dict[str, str]:
    """Return normal form -> name of what is in a folder, which a list names many times."""
    try:
        return {normal(name): name for name in sorted(os.listdir(folder), reverse=True)}  # noqa: PTH208
    except OSError:
        return {}
