"""Unpack the official split files."""

from pathlib import Path

from actionrec.sources.archives import unpack_splits
from actionrec.utils.checksums import verify
from actionrec.utils.rule_script import as_paths, rule_script

with rule_script(snakemake):
    source = as_paths([*snakemake.params.folder, *snakemake.input])[0]
    verify(source, snakemake.params.sha256)
    unpack_splits(source, snakemake.params.classes, Path(snakemake.output[0]).parent)
