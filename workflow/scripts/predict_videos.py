"""Predict every test video."""

from actionrec.experiments.tasks import Execution, predict
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    given = snakemake.input
    predict(given.spec, given.split, snakemake.output[0], Execution.of_rule(snakemake))
