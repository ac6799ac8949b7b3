"""Fetch the weights to start from."""

from actionrec.job import job
from actionrec.pretrained import fetch

with job(snakemake):
    fetch(snakemake.params.source, list(snakemake.input), snakemake.output[0])
