"""Fetch the weights to start from."""

from actionrec.experiments.pretrained import fetch
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    fetch(snakemake.params.source, list(snakemake.input), snakemake.output[0])
