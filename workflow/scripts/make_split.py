"""Divide the videos into train, val and test."""

from actionrec.job import job
from actionrec.splits import make_split

with job(snakemake):
    make_split(
        snakemake.output[0],
        classes=snakemake.params.classes,
        manifests=snakemake.input.manifests,
        official=snakemake.input.official,
        number=int(snakemake.wildcards.k),
        source_video=snakemake.params.source_video,
        **snakemake.params.splits,
    )
