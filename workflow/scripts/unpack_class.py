"""Unpack the videos of one class."""

from actionrec.archives import unpack_class
from actionrec.job import job

with job(snakemake):
    unpack_class(
        snakemake.input[0], snakemake.wildcards.cls, snakemake.params.videos, snakemake.output[0]
    )
