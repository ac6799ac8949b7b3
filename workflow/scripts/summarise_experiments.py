"""Put all experiments side by side."""

from actionrec.job import job
from actionrec.report import summarise

with job(snakemake):
    summarise(
        snakemake.params.runs,
        snakemake.input.metrics,
        snakemake.input.choices,
        snakemake.input.splits,
        snakemake.output[0],
    )
