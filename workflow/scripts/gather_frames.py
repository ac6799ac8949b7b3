"""Put the frame tables of a class's chunks together."""

from pathlib import Path

from actionrec.frames.extraction import gather
from actionrec.utils.rule_script import as_paths, rule_script

with rule_script(snakemake):
    gather(as_paths(snakemake.input), Path(snakemake.params.frames), Path(snakemake.output[0]))
