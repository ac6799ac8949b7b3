"""Put all experiments side by side."""

from actionrec.report.experiments import summarise
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    summarise(
        snakemake.params.runs,
        snakemake.input.metrics,
        snakemake.input.choices,
        snakemake.input.splits,
        snakemake.output[0],
    )
