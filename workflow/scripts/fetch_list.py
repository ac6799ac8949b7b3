"""Fetch a list of videos."""

from pathlib import Path

from actionrec.sources.fetch import fetch_list
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    fetch_list(snakemake.params.address, list(snakemake.input), Path(snakemake.output[0]))
