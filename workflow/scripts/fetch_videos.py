"""Put the videos that a list names where those of an archive would be."""

from pathlib import Path

from actionrec.sources.object_store import take_tree
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    take_tree(
        Path(snakemake.input[0]),
        Path(snakemake.params.videos),
        Path(snakemake.output[0]),
    )
