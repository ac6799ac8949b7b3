"""Say what a model saw in its surest mistakes."""

from actionrec.experiments.explanations import Explained, explain
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    explain(Explained.of_rule(snakemake), snakemake.output[0], snakemake.resources.get("gpu", 1))
