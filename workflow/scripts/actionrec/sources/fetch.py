"""Fetch a file that the configuration names, from a web server or from an object store."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actionrec.sources import object_store
from actionrec.sources.download import download


def fetch_archive(archive: Mapping[str, Any], retrieved: Sequence[str], target: Path) -> None:
    """Put an archive at `target`: what Snakemake has retrieved from a store, or a download."""
    if retrieved:
        object_store.take_archive(Path(retrieved[0]), target, archive["sha256"])
    else:
        download(archive["urls"], target, archive["sha256"])


def fetch_list(address: str, retrieved: Sequence[str], target: Path) -> None:
    """Put a list of videos at `target`: what Snakemake has retrieved, or a download."""
    if retrieved:
        object_store.take_file(Path(retrieved[0]), target)
    else:
        download([address], target, None)
