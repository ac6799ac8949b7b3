"""Write the TAO spec file of one task."""

from pathlib import Path

from actionrec.config.params import current_values
from actionrec.experiments.pretrained import weights_of_spec
from actionrec.spec.render import Run, render_spec
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    params, spec = snakemake.params, Path(snakemake.output[0])
    run = Run(
        folder=spec.parents[1],
        labels=params.classes,
        validation=params.validation,
        pretrained=weights_of_spec(
            snakemake.input,
            params.pretrained_classes,
            runner=params.runner,
            toolkit=params.toolkit,
            encrypt=params.encrypt,
        ),
        toolkit=params.toolkit,
        encrypt=params.encrypt,
    )
    render_spec(
        spec,
        snakemake.wildcards.task,
        params.overrides,
        run,
        native=params.native,
        # No params: they change no result, so they must not make anything again.
        current=current_values(snakemake.config, snakemake.wildcards.exp),
    )
