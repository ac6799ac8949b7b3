"""Link to one class of the user's folder."""

from pathlib import Path

from actionrec.sources.folder import link_class
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    link_class(
        Path(snakemake.params.source, snakemake.wildcards.cls),
        Path(snakemake.params.link),
        Path(snakemake.output[0]),
    )
