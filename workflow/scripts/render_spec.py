"""Write the TAO spec file of one task."""

from pathlib import Path

from actionrec.job import job
from actionrec.pretrained import class_count
from actionrec.spec import render_spec

with job(snakemake):
    weights = Path(snakemake.input[0]) if snakemake.input else None
    render_spec(
        Path(snakemake.output[0]),
        snakemake.wildcards.task,
        snakemake.params.overrides,
        labels=snakemake.params.classes,
        run=Path(snakemake.output[0]).parents[1],
        validation=snakemake.params.validation,
        pretrained=weights,
        pretrained_classes=class_count(weights, snakemake.params.pretrained_classes),
        toolkit=snakemake.params.toolkit,
        encrypt=snakemake.params.encrypt,
    )
