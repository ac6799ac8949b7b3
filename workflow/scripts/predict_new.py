"""Predict some of the new videos."""

from pathlib import Path

from actionrec.deploy.chunks import predict_chunk
from actionrec.utils.rule_script import optional, rule_script

with rule_script(snakemake):
    params = snakemake.params
    predict_chunk(
        Path(snakemake.input.card).parent,
        params.states,
        Path(snakemake.output[0]),
        [Path(params.earlier)],
        optional(params.annotated),
        snakemake.threads,
    )
