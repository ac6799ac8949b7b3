"""Rank the trials of a sweep on one split."""

from actionrec.experiments.successive_halving import rank
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    trials = dict(zip(snakemake.params.members, snakemake.input, strict=True))
    rank(trials, snakemake.params.keep, snakemake.output[0])
