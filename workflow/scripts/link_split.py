"""Build the tree of links that TAO reads."""

from pathlib import Path

from actionrec.dataset.link_tree import link_split
from actionrec.utils.rule_script import job

with job(snakemake):
    link_split(
        Path(snakemake.input[0]),
        Path(snakemake.params.frames),
        Path(snakemake.output[0]),
        snakemake.params.links,
    )
