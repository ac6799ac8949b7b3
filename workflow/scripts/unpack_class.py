"""Unpack the videos of one class."""

from pathlib import Path

from actionrec.archives import unpack_class
from actionrec.job import job

with job(snakemake):
    unpack_class(
        Path(snakemake.input[0]),
        snakemake.wildcards.cls,
        Path(snakemake.params.videos),
        Path(snakemake.output[0]),
    )
