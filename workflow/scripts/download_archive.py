"""Download one archive."""

from actionrec.download import download
from actionrec.job import job

with job(snakemake):
    download(snakemake.params.urls, snakemake.output[0], snakemake.params.sha256)
