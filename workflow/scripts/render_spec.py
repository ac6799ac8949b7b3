"""Write the TAO spec file of one task."""

from pathlib import Path

from actionrec.experiments.pretrained import refuse_encrypted, with_class_counts
from actionrec.spec.render import render_spec
from actionrec.spec.toolkits import is_old
from actionrec.utils.rule_script import job

with job(snakemake):
    has_key = snakemake.params.encrypt or is_old(snakemake.params.toolkit)
    if snakemake.params.runner != "native" and not has_key:
        refuse_encrypted(snakemake.input)
    render_spec(
        Path(snakemake.output[0]),
        snakemake.wildcards.task,
        snakemake.params.overrides,
        native=snakemake.params.native,
        labels=snakemake.params.classes,
        run=Path(snakemake.output[0]).parents[1],
        validation=snakemake.params.validation,
        toolkit=snakemake.params.toolkit,
        encrypt=snakemake.params.encrypt,
        pretrained=with_class_counts(snakemake.input, snakemake.params.pretrained_classes),
    )
