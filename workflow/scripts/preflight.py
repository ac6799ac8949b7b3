"""Print what this machine has and lacks."""

from actionrec.job import job
from actionrec.preflight import look, require, table

with job(snakemake):
    checks = look(snakemake.params.config, snakemake.params.ngc)
    print(table(checks), end="", flush=True)
    require(checks)
