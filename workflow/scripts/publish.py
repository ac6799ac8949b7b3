"""Copy results to where Snakemake's storage plugin stores them from."""

from actionrec.sources.object_store import put_all
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    put_all(list(snakemake.input), list(snakemake.output))
