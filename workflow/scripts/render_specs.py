"""Write TAO's spec files of one experiment."""

from pathlib import Path

from actionrec.job import job
from actionrec.pretrained import class_count
from actionrec.spec import render_specs

with job(snakemake):
    weights = Path(snakemake.input[0]) if snakemake.input else None
    render_specs(
        Path(snakemake.output.train).parent,
        snakemake.params.overrides,
        labels=snakemake.params.classes,
        run=Path(snakemake.output.train).parents[1],
        validation=snakemake.params.validation,
        pretrained=weights,
        pretrained_classes=class_count(weights, snakemake.params.pretrained_classes),
    )
