"""Read a user's list of clips."""

from pathlib import Path

from actionrec.sources.table import VideoList, list_table
from actionrec.utils.rule_script import job

with job(snakemake):
    classes, videos = snakemake.params.classes, snakemake.params.videos
    lists, labels = snakemake.params.lists, snakemake.params.labels
    list_table(
        VideoList(
            {part: Path(path) for part, path in lists.items()},
            videos=Path(videos) if videos else None,
            labels=Path(labels) if labels else None,
            skip=snakemake.params.skip,
        ),
        dict(zip(classes, map(Path, snakemake.output.tables), strict=True)),
        dict(zip(classes, map(Path, snakemake.output.parts), strict=True)),
        given=snakemake.params.given,
    )
