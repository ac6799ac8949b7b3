"""Build the tree of links that TAO reads."""

from actionrec.dataset.link_tree import link_split
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    params = snakemake.params
    link_split(snakemake.input[0], params.frames, snakemake.output[0], params.links)
