"""Write what is needed to use an exported model."""

from pathlib import Path

from actionrec.deploy.describe import Parts, describe
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    describe(Parts.of_rule(snakemake), Path(snakemake.output[0]))
