"""Divide the videos into train, val and test."""

from actionrec.dataset.splits import ClassFiles, SplitSettings, make_split
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    given, params = snakemake.input, snakemake.params
    files = ClassFiles.of_classes(
        params.classes, given.manifests, given.flows, given.official, given.given
    )
    make_split(
        snakemake.output[0],
        files,
        SplitSettings(**params.draw, source_video=params.source_video),
        int(snakemake.wildcards.k),
    )
