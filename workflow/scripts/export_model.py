"""Export a model in its deployable form."""

from pathlib import Path

from actionrec.job import job
from actionrec.tasks import engine, export

with job(snakemake):
    export(
        Path(snakemake.input.spec),
        snakemake.params.labels,
        Path(snakemake.output.exported),
        Path(snakemake.output.labels),
        engine=engine(snakemake),
    )
