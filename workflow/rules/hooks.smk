"""What a run does before its first job, and says at its end."""

import os

from actionrec.utils.rule_script import LOGS_ARE_PRINTED

# Its jobs then leave it to Snakemake to print their errors, which would stand there twice.
if internals.prints_failed_logs(workflow):
    os.environ[LOGS_ARE_PRINTED] = "1"


onstart:
    from actionrec.experiments import training_progress
    from actionrec.preflight import machine

    internals.resolve_resources(workflow)
    warning = explained(
        machine.before_the_first_job,
        params.preflight(config),
        bool(queries.ngc_checksums(config)),
        internals.planned_rules(workflow),
        internals.runs_here(workflow),
    )
    if warning:
        logger.warning(warning)
    training_progress.watch(EXPERIMENTS.parent)


onsuccess:
    if message := paths.outcome(internals.target_files(workflow), EXPERIMENTS.parent):
        logger.info(message)


onerror:
    if logs := internals.failed_logs(workflow):
        logger.error(f"What went wrong is in {', '.join(logs)}")
