"""Fetch the weights that an experiment starts from."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from actionrec.files import replacing


def fetch(source: Mapping[str, str], files: Sequence[str], target: Path | str) -> None:
    """Put the weights at `target`: a copy of the one file named, or a download.

    A copy, not a link: Snakemake dates its outputs, and a link would date the original too.
    """
    if "url" in source:
        from actionrec.download import download

        download([source["url"]], Path(target), source["sha256"])
        return
    with replacing(target) as part:
        shutil.copyfile(files[0], part)


def class_count(weights: Path | None, known: int | None) -> int:
    """Return how many classes the weights tell apart: as known, else as their last layer says.

    0 without weights, which is TAO's word for keeping the last layer.
    """
    if weights is None:
        return 0
    if known is not None:
        return known
    from actionrec.native.checkpoints import num_classes_of

    return num_classes_of(weights)
