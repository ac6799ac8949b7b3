"""Write the spec of an experiment's trial."""

from pathlib import Path

from actionrec.budgets import write_trial_spec
from actionrec.job import job

with job(snakemake):
    write_trial_spec(Path(snakemake.input[0]), snakemake.params.epochs, Path(snakemake.output[0]))
