"""Export a model in its deployable form."""

from actionrec.deploy.describe import finish_export
from actionrec.experiments.tasks import Execution, export
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    export(
        snakemake.input.spec,
        snakemake.output.exported,
        snakemake.output.labels,
        snakemake.params.labels,
        Execution.of_rule(snakemake),
    )
    finish_export(snakemake.output.exported, snakemake.params.description, snakemake.params.softmax)
