"""Score a model on the test videos."""

from actionrec.experiments.tasks import Execution, evaluate
from actionrec.utils.rule_script import rule_script

with rule_script(snakemake):
    evaluate(
        snakemake.input.spec,
        snakemake.input.split,
        snakemake.input.predictions,
        snakemake.output[0],
        snakemake.params.labels,
        Execution.of_rule(snakemake),
    )
