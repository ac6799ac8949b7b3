"""Write the TAO spec file of one task."""

from pathlib import Path

from actionrec.experiments.pretrained import weights_of_spec
from actionrec.spec.render import render_spec
from actionrec.utils.rule_script import job

with job(snakemake):
    params, spec = snakemake.params, Path(snakemake.output[0])
    toolkit, encrypt = params.toolkit, params.encrypt
    render_spec(
        spec,
        snakemake.wildcards.task,
        params.overrides,
        native=params.native,
        labels=params.classes,
        run=spec.parents[1],
        validation=params.validation,
        toolkit=toolkit,
        encrypt=encrypt,
        pretrained=weights_of_spec(
            snakemake.input,
            params.pretrained_classes,
            runner=params.runner,
            toolkit=toolkit,
            encrypt=encrypt,
        ),
    )
