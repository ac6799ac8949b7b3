"""Read SHAD's annotations."""

from pathlib import Path

from actionrec.sources.shad import list_shad
from actionrec.utils.rule_script import by_class, rule_script

with rule_script(snakemake):
    classes = snakemake.params.classes
    list_shad(
        Path(snakemake.params.root),
        by_class(classes, snakemake.output.tables),
        by_class(classes, snakemake.output.crops),
        snakemake.params.sequences,
    )
