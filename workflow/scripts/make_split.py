"""Divide the videos into train, val and test."""

from pathlib import Path

from actionrec.dataset.splits import make_split
from actionrec.utils.rule_script import job

with job(snakemake):
    classes = snakemake.params.classes
    make_split(
        Path(snakemake.output[0]),
        manifests=dict(zip(classes, map(Path, snakemake.input.manifests), strict=True)),
        flows=dict(zip(classes, map(Path, snakemake.input.flows), strict=False)),
        official=dict(zip(classes, map(Path, snakemake.input.official), strict=False)),
        given=dict(zip(classes, map(Path, snakemake.input.given), strict=False)),
        number=int(snakemake.wildcards.k),
        source_video=snakemake.params.source_video,
        **snakemake.params.draw,
    )
