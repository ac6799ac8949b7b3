"""Verify an exported model on the original test videos."""

from pathlib import Path

from actionrec.deploy.verify import Tables, verify
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    given, params = snakemake.input, snakemake.params
    verify(
        Path(given.onnx).parent,
        Path(given.predictions),
        Path(given.split),
        Tables.of_rule(snakemake),
        Path(snakemake.output[0]),
        margin=params.margin,
        left_out=params.left_out,
        workers=snakemake.threads,
    )
