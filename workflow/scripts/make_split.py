"""Divide the videos into train, val and test."""

from actionrec.config.queries import videos_folder
from actionrec.dataset.bad_videos import require_tolerated
from actionrec.dataset.splits import ClassFiles, SplitSettings, make_split
from actionrec.utils.rule_script import as_paths, optional, rule_script

with rule_script(snakemake):
    given, params = snakemake.input, snakemake.params
    files = ClassFiles.of_classes(
        params.classes,
        given.manifests,
        given.flows,
        given.official,
        given.given,
        as_paths(given.groups),
    )
    # No params: they change no split, so they must not make one again.
    require_tolerated(
        files.manifests,
        snakemake.config["frames"]["tolerate"],
        videos_folder(snakemake.config),
        optional(given.page),
    )
    make_split(
        snakemake.output[0],
        files,
        SplitSettings(**params.draw, source_video=params.source_video),
        int(snakemake.wildcards.k),
    )
