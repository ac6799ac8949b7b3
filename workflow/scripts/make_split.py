"""Divide the videos into train, val and test."""

from actionrec.config.queries import videos_folder
from actionrec.dataset.bad_videos import require_tolerated
from actionrec.dataset.splits import ClassFiles, SplitSettings, make_split
from actionrec.utils.rule_script import as_paths, optional, rule_script

with rule_script(snakemake):
    files = ClassFiles.of_classes(
        snakemake.params.classes,
        snakemake.input.manifests,
        snakemake.input.flows,
        snakemake.input.official,
        snakemake.input.given,
        as_paths(snakemake.input.groups),
    )
    # Read from the configuration, not from params: they change no split, so they remake none.
    require_tolerated(
        files.manifests,
        snakemake.config["frames"]["tolerate"],
        videos_folder(snakemake.config),
        optional(snakemake.input.page),
    )
    make_split(
        snakemake.output[0],
        files,
        SplitSettings(**snakemake.params.draw, source_video=snakemake.params.source_video),
        int(snakemake.wildcards.k),
    )
