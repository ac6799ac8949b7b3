"""Extract the frames of one class."""

from pathlib import Path

from actionrec.frames.encoders import ImageFormat
from actionrec.frames.extraction import extract_class, extract_segments
from actionrec.utils.rule_script import job

with job(snakemake):
    table, crops = Path(snakemake.input.table), snakemake.input.get("crops")
    frames, manifest = Path(snakemake.params.frames), Path(snakemake.output[0])
    params = snakemake.params
    size = tuple(params.size) if params.size else None
    options = {
        "image_format": ImageFormat(params.fmt, params.encoder, params.quality, size),
        "tolerate": params.tolerate,
        "workers": snakemake.threads,
    }
    if snakemake.params.videos:
        extract_class(Path(snakemake.params.videos), table, frames, manifest, **options)
    else:
        extract_segments(table, Path(crops) if crops else None, frames, manifest, **options)
