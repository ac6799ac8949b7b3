"""Write a model in half precision."""

from pathlib import Path

from actionrec.deploy.half_precision import convert_fp16
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    convert_fp16(Path(snakemake.input[0]), Path(snakemake.output[0]), snakemake.params.description)
