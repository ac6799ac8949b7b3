"""Pull a container image into one file."""

from pathlib import Path

from actionrec.job import job
from actionrec.runners.apptainer import pull

with job(snakemake):
    pull(snakemake.params.image, Path(snakemake.output[0]), Path(snakemake.log[0]))
