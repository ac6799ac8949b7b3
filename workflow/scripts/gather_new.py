"""Put the predictions of all new videos into one table."""

from pathlib import Path

from actionrec.deploy.chunks import gather
from actionrec.utils.rule_script import as_paths, rule_script

with rule_script(snakemake):
    gather(as_paths(snakemake.input), Path(snakemake.output[0]))
