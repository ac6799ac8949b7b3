"""Predict every test video."""

from pathlib import Path

from actionrec.job import job
from actionrec.tasks import engine, predict

with job(snakemake):
    predict(
        Path(snakemake.input.spec),
        Path(snakemake.input.split),
        Path(snakemake.output[0]),
        engine=engine(snakemake),
    )
