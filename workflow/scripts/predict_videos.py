"""Predict every test video."""

from pathlib import Path

from actionrec.experiments.tasks import engine, predict
from actionrec.utils.rule_script import job

with job(snakemake):
    predict(
        Path(snakemake.input.spec),
        Path(snakemake.input.split),
        Path(snakemake.output[0]),
        engine=engine(snakemake),
    )
