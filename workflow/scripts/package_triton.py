"""Write the model repository for NVIDIA Triton."""

from pathlib import Path

from actionrec.deploy.triton import write_package
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    export = Path(snakemake.input.card).parent
    write_package(export, Path(snakemake.output[0]), snakemake.params.kind)
