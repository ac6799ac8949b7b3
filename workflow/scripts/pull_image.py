"""Pull a container image into one file."""

from pathlib import Path

from actionrec.runners.apptainer import pull
from actionrec.utils.rule_script import job

with job(snakemake):
    pull(snakemake.params.image, Path(snakemake.output[0]), Path(snakemake.log[0]))
