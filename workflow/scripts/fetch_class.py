"""Put the videos of one class where those of an archive would be."""

from pathlib import Path

from actionrec.sources.object_store import take_class
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    take_class(
        Path(snakemake.input[0]),
        Path(snakemake.params.videos),
        Path(snakemake.output[0]),
    )
