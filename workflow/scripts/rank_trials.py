"""Rank the trials of a sweep on one split."""

from pathlib import Path

from actionrec.budgets import rank
from actionrec.job import job

with job(snakemake):
    files = [Path(file) for file in snakemake.input]
    rank(
        dict(zip(snakemake.params.members, files, strict=True)),
        snakemake.params.keep,
        Path(snakemake.output[0]),
    )
