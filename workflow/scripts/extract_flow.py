"""Make the optical flow of one class."""

from pathlib import Path

from actionrec.frames.flow import FlowSettings, extract_flow
from actionrec.frames.segments import read_frame_sources
from actionrec.utils.rule_script import optional, rule_script

with rule_script(snakemake):
    given, params = snakemake.input, snakemake.params
    extract_flow(
        Path(params.frames),
        Path(given.frames),
        Path(snakemake.output[0]),
        FlowSettings(params.method, params.preset, params.mapping),
        flo=optional(params.flo),
        cropped=read_frame_sources(optional(given.table), optional(given.crops)),
        workers=snakemake.threads,
    )
