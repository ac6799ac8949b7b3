"""Record a run with MLflow."""

from pathlib import Path

from actionrec.report.mlflow_runs import record_run
from actionrec.report.summary import Run
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    names, folder, params = (
        snakemake.wildcards,
        Path(snakemake.input.metrics).parent,
        snakemake.params,
    )
    run = Run(names.exp, int(names.k), folder)
    record_run(run, params.dataset, params.store, snakemake.output[0])
