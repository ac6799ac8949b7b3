"""Train one experiment, or publish what it had learnt when its sweep's budget stopped it."""

from pathlib import Path

from actionrec.experiments.successive_halving import is_stopped, publish_trial
from actionrec.experiments.tasks import engine, train
from actionrec.utils.rule_script import job

with job(snakemake):
    given, published = snakemake.input, [Path(file) for file in snakemake.output]
    ranking, trial = given.get("ranking"), given.get("trial_spec")
    if ranking and is_stopped(snakemake.wildcards.exp, Path(ranking)):
        publish_trial([Path(file) for file in given.trial], published)
    else:
        train(
            Path(given.spec),
            Path(given.split),
            [Path(file) for file in given.pretrained],
            **dict(zip(("model", "choice", "history"), published, strict=True)),
            select=snakemake.params.checkpoint,
            engine=engine(snakemake),
            trial=Path(trial) if trial else None,
        )
