"""Draw and pack the demo set."""

from actionrec.demo import make_archives
from actionrec.job import job

with job(snakemake):
    make_archives(snakemake.output.videos, snakemake.output.splits)
