"""Export a model in its deployable form."""

from actionrec.experiments.tasks import Engine, export
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    export(
        snakemake.input.spec,
        snakemake.output.exported,
        snakemake.output.labels,
        snakemake.params.labels,
        Engine.of_rule(snakemake),
    )
