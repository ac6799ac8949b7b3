"""Write the package for NVIDIA DeepStream."""

from pathlib import Path

from actionrec.deploy.deepstream import write_package
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    export = Path(snakemake.input.card).parent
    write_package(export, Path(snakemake.output[0]), snakemake.params.version)
