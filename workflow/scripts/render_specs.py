"""Write TAO's spec files of one experiment."""

from pathlib import Path

from actionrec.job import job
from actionrec.spec import render_specs

with job(snakemake):
    render_specs(
        Path(snakemake.output.train).parent,
        snakemake.params.overrides,
        labels=snakemake.params.classes,
        run=Path(snakemake.output.train).parents[1],
        validation=snakemake.params.validation,
        pretrained=Path(snakemake.input.pretrained) if snakemake.input.get("pretrained") else None,
        pretrained_classes=snakemake.params.pretrained_classes,
    )
