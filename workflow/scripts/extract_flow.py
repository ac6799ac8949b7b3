"""Make the optical flow of one class."""

from pathlib import Path

from actionrec.flow import extract_flow
from actionrec.job import job

with job(snakemake):
    path = snakemake.params.path
    extract_flow(
        Path(snakemake.params.frames),
        Path(snakemake.input[0]),
        Path(snakemake.output[0]),
        method=snakemake.params.method,
        preset=snakemake.params.preset,
        mapping=snakemake.params.mapping,
        flo=Path(path, snakemake.wildcards.cls) if path else None,
        workers=snakemake.threads,
    )
