"""Download one archive."""

from pathlib import Path

from actionrec.download import download
from actionrec.job import job

with job(snakemake):
    download(snakemake.params.urls, Path(snakemake.output[0]), snakemake.params.sha256)
