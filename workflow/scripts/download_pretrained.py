"""Download weights from NGC."""

from pathlib import Path

from actionrec.utils.rule_script import rule_script
from actionrec.weights.ngc import fetch

with rule_script(snakemake):
    chosen = snakemake.wildcards
    target = f"{chosen.model}:{chosen.version}"
    fetch(target, chosen.file, Path(snakemake.output[0]), snakemake.params.sha256)
