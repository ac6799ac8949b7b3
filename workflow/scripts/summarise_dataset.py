"""Summarise the dataset and its splits."""

from pathlib import Path

from actionrec.dataset.summary import summarise
from actionrec.utils.rule_script import job

with job(snakemake):
    classes, draw = snakemake.params.classes, snakemake.params.draw
    files = map(Path, snakemake.input.official)
    official = {k: dict(zip(classes, files, strict=False)) for k in draw["numbers"]}
    summarise(
        dict(zip(classes, map(Path, snakemake.input.manifests), strict=True)),
        Path(snakemake.output[0]),
        frames=Path(snakemake.params.frames),
        draw=draw,
        official=official,
        given=dict(zip(classes, map(Path, snakemake.input.given), strict=False)),
        source_video=snakemake.params.source_video,
        threads=snakemake.threads,
    )
