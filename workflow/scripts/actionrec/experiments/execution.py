"""Execute a TAO task for a rule, and return its outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actionrec import runners
from actionrec.config.params import current_values
from actionrec.experiments import status_json
from actionrec.experiments.task_outcome import (
    PREDICTIONS,
    Ended,
    Expected,
    TaskOutcome,
    read_outcome,
)
from actionrec.runners import Container, TaskRequest, mounts
from actionrec.spec import relevance, toolkits
from actionrec.utils.rule_script import Job


@dataclass(frozen=True)
class Execution:
    """How a task is executed: by which runner, and with which resources of the job.

    `version` is all that results depend on: runner, toolkit, and image or code. `toolkit` is the
    TAO version whose command line and results are to be expected, `scratch` a folder on the node's
    own disk to train from, or "". `current` are the values that keys of the spec have now, of those
    that change no result. `gpus` and `threads` are those of one of the job's `machines`.
    """

    runner: str
    version: str
    threads: int
    log: Path
    toolkit: str = toolkits.TOOLKITS[-1]
    gpus: int = 1
    machines: int = 1
    container: Container = field(default_factory=Container)
    scratch: str = ""
    current: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_rule(cls, snakemake: Job) -> "Execution":
        """Return the execution that a rule asks for in its params and resources.

        The container's settings are no params, nor are the keys of the spec that change no result:
        the image is part of the version, and a larger /dev/shm retrains nothing.
        """
        return cls(
            runner=snakemake.params.runner,
            version=snakemake.params.engine,
            threads=snakemake.threads,
            log=Path(snakemake.log[0]),
            toolkit=snakemake.params.toolkit,
            gpus=snakemake.resources.get("gpu", 1),
            machines=snakemake.resources.get("nodes", 1),
            container=runners.container(snakemake.config["tao"]),
            scratch=snakemake.resources.get("scratch", ""),
            current=current_values(snakemake.config, snakemake.wildcards.exp),
        )


def run_folder(spec: Path) -> Path:
    """Return the folder of an experiment on a split, in which `spec` is specs/<task>.yaml."""
    return spec.parents[1]


def execute(
    task: str,
    spec: Path,
    execution: Execution,
    expected: Expected,
    *,
    folder: Path | None = None,
    reads: Sequence[Path] = (),
) -> TaskOutcome:
    """Execute a task and return its outcome; raise `InputError` unless it succeeded.

    Results are in `folder`, by default the task's own in the experiment's folder. `reads` are
    files that the spec names outside of that folder, which a container must see too.
    """
    run = run_folder(spec).absolute()
    folder = folder or run / task
    folder.mkdir(parents=True, exist_ok=True)
    spec = relevance.with_current_values(
        spec, folder / "spec.yaml", execution.current, task, execution.toolkit
    )
    if task != "train":  # which resumes from what it finds
        for leftover in (status_json.NAME, PREDICTIONS):
            (folder / leftover).unlink(missing_ok=True)
    # Among the paths are the places that the links of the split lead to: a container mounts them.
    request = TaskRequest(
        program=toolkits.program(execution.toolkit),
        arguments=toolkits.arguments(execution.toolkit, task, spec, folder),
        work_folder=run / "runner" / folder.name,
        log=execution.log,
        paths=[run, *reads, *sorted(mounts.of_links(run / "data"))],
        threads=execution.threads,
        gpus=execution.gpus,
        machines=execution.machines,
        container=execution.container,
    )
    ended = Ended(*runners.execute(execution.runner, request))
    outcome = read_outcome(task, folder, execution.toolkit, ended, expected)
    # An old toolkit's exit code is evidence that a later job no longer has: it is written down.
    if task == "train" and outcome.finished and not (folder / status_json.NAME).exists():
        status_json.write_finished_training(folder, outcome.history)
    outcome.require_success()
    return outcome
