"""Extract the frames of one class."""

from pathlib import Path

from actionrec.frames import extract_class
from actionrec.job import job

with job(snakemake):
    extract_class(
        Path(snakemake.params.videos),
        Path(snakemake.input[0]),
        Path(snakemake.params.frames),
        Path(snakemake.output[0]),
        workers=snakemake.threads,
        fmt=snakemake.params.fmt,
        encoder=snakemake.params.encoder,
        quality=snakemake.params.quality,
        tolerate=snakemake.params.tolerate,
    )
