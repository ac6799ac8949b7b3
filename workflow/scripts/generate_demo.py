"""Draw and pack the demo set."""

from pathlib import Path

from actionrec.sources.demo import make_archives
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    make_archives(
        Path(snakemake.output.videos), Path(snakemake.output.splits), workers=snakemake.threads
    )
