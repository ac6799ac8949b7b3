"""Extract the frames of one class, or of a chunk of it."""

from pathlib import Path

from actionrec.frames.encoders import ImageFormat
from actionrec.frames.extraction import extract
from actionrec.utils.chunks import parse_chunk
from actionrec.utils.rule_script import optional, rule_script

with rule_script(snakemake):
    given, params = snakemake.input, snakemake.params
    extract(
        optional(params.videos),
        Path(given.table),
        optional(given.crops),
        Path(params.frames),
        Path(snakemake.output[0]),
        image_format=ImageFormat(params.fmt, params.encoder, params.quality, params.size),
        interlaced=params.interlaced,
        check=params.check,
        workers=snakemake.threads,
        chunk=parse_chunk(snakemake.wildcards.get("chunk", "1of1")),
    )
