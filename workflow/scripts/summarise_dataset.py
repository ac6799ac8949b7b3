"""Count the clips and frames of every class."""

from pathlib import Path

from actionrec.job import job
from actionrec.manifest import summarise

with job(snakemake):
    summarise(
        dict(zip(snakemake.params.classes, map(Path, snakemake.input), strict=True)),
        Path(snakemake.output[0]),
    )
