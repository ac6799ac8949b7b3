"""Predict every test video."""

from actionrec.experiments.tasks import Engine, predict
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    given = snakemake.input
    predict(given.spec, given.split, snakemake.output[0], Engine.of_rule(snakemake))
