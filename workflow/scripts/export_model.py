"""Export a model in its deployable form."""

from pathlib import Path

from actionrec.experiments.tasks import engine, export
from actionrec.utils.rule_script import job

with job(snakemake):
    export(
        Path(snakemake.input.spec),
        snakemake.params.labels,
        Path(snakemake.output.exported),
        Path(snakemake.output.labels),
        engine=engine(snakemake),
    )
