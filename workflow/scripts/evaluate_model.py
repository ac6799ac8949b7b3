"""Score a model on the test videos."""

from pathlib import Path

from actionrec.experiments.tasks import engine, evaluate
from actionrec.utils.rule_script import job

with job(snakemake):
    evaluate(
        Path(snakemake.input.spec),
        Path(snakemake.input.split),
        Path(snakemake.input.predictions),
        Path(snakemake.output[0]),
        labels=snakemake.params.labels,
        engine=engine(snakemake),
    )
