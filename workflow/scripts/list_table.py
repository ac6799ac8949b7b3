"""Read a user's list of videos."""

from pathlib import Path

from actionrec.sources.table import VideoList, list_table
from actionrec.utils.rule_script import by_class, optional, rule_script

with rule_script(snakemake):
    params, made = snakemake.params, snakemake.output
    list_table(
        VideoList(
            {part: Path(path) for part, path in params.lists.items()},
            videos=optional(params.videos),
            labels=optional(params.labels),
            skip=params.skip,
        ),
        by_class(params.classes, made.tables),
        by_class(params.classes, made.parts),
        given=params.given,
    )
