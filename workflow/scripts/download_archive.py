"""Download one archive."""

from pathlib import Path

from actionrec.config.queries import archive_of_file
from actionrec.sources.fetch import fetch_archive
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    archive = archive_of_file(snakemake.config, snakemake.wildcards.archive)
    fetch_archive(archive, list(snakemake.input), Path(snakemake.output[0]))
