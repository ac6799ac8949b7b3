"""Rank the trials of a sweep on one split."""

from pathlib import Path

from actionrec.experiments.successive_halving import rank
from actionrec.utils.rule_script import job

with job(snakemake):
    files = [Path(file) for file in snakemake.input]
    rank(
        dict(zip(snakemake.params.members, files, strict=True)),
        snakemake.params.keep,
        Path(snakemake.output[0]),
    )
