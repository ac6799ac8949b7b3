"""Describe one experiment on one split."""

from pathlib import Path

from actionrec.report.run import describe_run
from actionrec.report.summary import Run
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    names, folder = snakemake.wildcards, Path(snakemake.input.metrics).parent
    describe_run(Run(names.exp, int(names.k), folder), **dict(snakemake.output.items()))
