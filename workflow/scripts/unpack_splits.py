"""Unpack the official split files."""

from pathlib import Path

from actionrec.archives import unpack_splits
from actionrec.job import job

with job(snakemake):
    unpack_splits(
        Path(snakemake.input[0]), snakemake.params.classes, Path(snakemake.output[0]).parent
    )
