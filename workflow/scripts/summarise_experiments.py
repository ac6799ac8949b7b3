"""Put all experiments side by side."""

from actionrec.report.summary import runs_of, summarise
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    params, made = snakemake.params, dict(snakemake.output.items())
    runs = runs_of(snakemake.input.metrics, params.runs)
    summarise(runs, benchmarks=params.benchmarks, gpus=params.gpus, **made)
