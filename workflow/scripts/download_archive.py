"""Download one archive."""

from pathlib import Path

from actionrec.config.queries import archive_of_file
from actionrec.sources.download import download
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    archive = archive_of_file(snakemake.config, snakemake.wildcards.archive)
    download(archive["urls"], Path(snakemake.output[0]), archive["sha256"])
