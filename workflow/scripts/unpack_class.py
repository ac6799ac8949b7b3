"""Unpack the videos of one class."""

from pathlib import Path

from actionrec.sources.archives import unpack_class
from actionrec.utils.checksums import verify
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    verify(Path(snakemake.input[0]), snakemake.params.sha256)
    unpack_class(
        Path(snakemake.input[0]),
        snakemake.wildcards.cls,
        Path(snakemake.params.videos),
        Path(snakemake.output[0]),
        # No param: a class more must not unpack the others again, and no result depends on it.
        others=snakemake.config["dataset"]["classes"],
    )
