"""Write the spec of an experiment's trial."""

from actionrec.experiments.successive_halving import write_trial_spec
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    write_trial_spec(snakemake.input[0], snakemake.params.epochs, snakemake.output[0])
