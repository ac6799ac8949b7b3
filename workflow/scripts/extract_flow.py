"""Make the optical flow of one class."""

from pathlib import Path

from actionrec.frames.flow import FlowSettings, extract_flow
from actionrec.frames.segments import read_frame_sources
from actionrec.utils.rule_script import job

with job(snakemake):
    path = snakemake.params.path
    table, crops = snakemake.input.get("table"), snakemake.input.get("crops")
    extract_flow(
        Path(snakemake.params.frames),
        Path(snakemake.input.frames),
        Path(snakemake.output[0]),
        FlowSettings(snakemake.params.method, snakemake.params.preset, snakemake.params.mapping),
        flo=Path(path, snakemake.wildcards.cls) if path else None,
        cropped=read_frame_sources(Path(table), Path(crops)) if table else None,
        workers=snakemake.threads,
    )
