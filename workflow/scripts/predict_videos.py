"""Predict every test video."""

from actionrec.experiments.tasks import Engine, predict
from actionrec.utils.rule_script import job

with job(snakemake):
    given = snakemake.input
    predict(given.spec, given.split, snakemake.output[0], Engine.of_rule(snakemake))
