"""Make the optical flow of one class."""

from pathlib import Path

from actionrec.frames.flow import extract_flow
from actionrec.frames.segments import read_sources
from actionrec.utils.rule_script import job

with job(snakemake):
    path = snakemake.params.path
    table, crops = snakemake.input.get("table"), snakemake.input.get("crops")
    extract_flow(
        Path(snakemake.params.frames),
        Path(snakemake.input.frames),
        Path(snakemake.output[0]),
        method=snakemake.params.method,
        preset=snakemake.params.preset,
        mapping=snakemake.params.mapping,
        flo=Path(path, snakemake.wildcards.cls) if path else None,
        cropped=read_sources(Path(table), Path(crops)) if table else None,
        workers=snakemake.threads,
    )
