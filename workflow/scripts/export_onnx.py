"""Export a model to ONNX."""

from pathlib import Path

from actionrec.job import job
from actionrec.tasks import engine, export

with job(snakemake):
    export(
        Path(snakemake.input.spec),
        snakemake.params.labels,
        Path(snakemake.output.labels),
        engine=engine(snakemake),
    )
