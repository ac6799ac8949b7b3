"""Pull a container image into one file."""

from pathlib import Path

from actionrec.runners.apptainer import pull
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    pull(snakemake.params.image, Path(snakemake.output[0]), Path(snakemake.log[0]))
