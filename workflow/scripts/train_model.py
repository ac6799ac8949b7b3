"""Train one experiment."""

from pathlib import Path

from actionrec.job import job
from actionrec.tasks import engine, train

with job(snakemake):
    train(
        Path(snakemake.input.spec),
        Path(snakemake.input.split),
        [Path(file) for file in snakemake.input.pretrained],
        model=Path(snakemake.output.model),
        choice=Path(snakemake.output.choice),
        history=Path(snakemake.output.history),
        select=snakemake.params.checkpoint,
        engine=engine(snakemake),
    )
