"""Print what this machine has and lacks."""

from actionrec.preflight.machine import look, require, table
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    checks = look(snakemake.params.config, snakemake.params.ngc)
    print(table(checks), end="", flush=True)
    require(checks)
