"""Read SHAD's annotations."""

from pathlib import Path

from actionrec.sources.shad import list_shad
from actionrec.utils.rule_script import job

with job(snakemake):
    classes = snakemake.params.classes
    list_shad(
        Path(snakemake.params.root),
        dict(zip(classes, map(Path, snakemake.output.tables), strict=True)),
        dict(zip(classes, map(Path, snakemake.output.crops), strict=True)),
        snakemake.params.sequences,
    )
