"""Build a TensorRT engine."""

from pathlib import Path

from actionrec.deploy.tensorrt import Builder, build_engine
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    export = Path(snakemake.input.card).parent
    builder = Builder.of_rule(snakemake)
    build_engine(export, Path(snakemake.output[0]), builder, **snakemake.params.settings)
