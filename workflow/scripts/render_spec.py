"""Write the TAO spec file of one task."""

from pathlib import Path

from actionrec.experiments.pretrained import weights_of_spec
from actionrec.spec.render import Run, render_spec
from actionrec.utils.rule_script import job

with job(snakemake):
    params, spec = snakemake.params, Path(snakemake.output[0])
    pretrained = weights_of_spec(
        snakemake.input,
        params.pretrained_classes,
        runner=params.runner,
        toolkit=params.toolkit,
        encrypt=params.encrypt,
    )
    run = Run(
        folder=spec.parents[1],
        labels=params.classes,
        validation=params.validation,
        pretrained=pretrained,
        toolkit=params.toolkit,
        encrypt=params.encrypt,
    )
    render_spec(spec, snakemake.wildcards.task, params.overrides, run, native=params.native)
