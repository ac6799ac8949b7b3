"""Count the clips and frames of every class."""

from actionrec.job import job
from actionrec.manifest import summarise

with job(snakemake):
    summarise(
        dict(zip(snakemake.params.classes, snakemake.input, strict=True)), snakemake.output[0]
    )
