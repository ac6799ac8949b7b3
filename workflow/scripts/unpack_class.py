"""Unpack the videos of one class."""

from pathlib import Path

from actionrec.sources.archives import unpack_class
from actionrec.utils.checksums import verify
from actionrec.utils.rule_script import job

with job(snakemake):
    archive = Path(snakemake.input[0])
    if snakemake.params.sha256:
        verify(archive, snakemake.params.sha256)
    unpack_class(
        archive,
        snakemake.wildcards.cls,
        Path(snakemake.params.videos),
        Path(snakemake.output[0]),
        # No param: a class more must not unpack the others again, and no result depends on it.
        others=snakemake.config["dataset"]["classes"],
    )
