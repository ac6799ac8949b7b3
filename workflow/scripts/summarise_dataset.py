"""Summarise the dataset and its splits."""

from actionrec.dataset.splits import ClassFiles, SplitSettings
from actionrec.dataset.summary import official_files, summarise
from actionrec.utils.rule_script import as_paths, rule_script

with rule_script(snakemake):
    given, params = snakemake.input, snakemake.params
    draw = {key: value for key, value in params.draw.items() if key != "numbers"}
    summarise(
        ClassFiles.of_classes(
            params.classes, given.manifests, given=given.given, groups=as_paths(given.groups)
        ),
        snakemake.output[0],
        frames=params.frames,
        settings=SplitSettings(**draw, source_video=params.source_video),
        official=official_files(params.classes, params.draw["numbers"], given.official),
        videos=params.videos,
        threads=snakemake.threads,
    )
