"""Train one experiment, or publish what it had learnt when its sweep's budget stopped it."""

from actionrec.experiments.tasks import Execution, Training, train
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    train(Training.of_rule(snakemake), Execution.of_rule(snakemake))
