"""Print what this machine has and lacks."""

from actionrec.experiments.preflight import look, require, table
from actionrec.utils.rule_script import job

with job(snakemake):
    checks = look(snakemake.params.config, snakemake.params.ngc)
    print(table(checks), end="", flush=True)
    require(checks)
