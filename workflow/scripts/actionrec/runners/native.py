"""The project's own engine, in this very Python."""

import sys
from collections.abc import Sequence

from actionrec.runners import process, slurm
from actionrec.runners.request import Container, TaskRequest
from actionrec.runners.requirements import Requirement


def command(request: TaskRequest) -> list[str]:
    """Return the command of the built-in engine on one machine."""
    return [sys.executable, "-m", "actionrec.native", *request.arguments]


def run(request: TaskRequest, gpus: Sequence[str] | None) -> tuple[int, str]:
    """Run the engine on the GPUs with these ids, or on what it finds.

    On several machines it runs on the GPUs that Slurm gives it on each. Raises `InputError` if
    there is no Slurm to do so.
    """
    if request.machines == 1:
        return process.execute(command(request), process.with_gpus(request, gpus), request.log)
    if not slurm.is_job():
        raise slurm.no_job(request.machines, "spec: num_nodes")
    slurm.require_srun()
    line = slurm.command_on_each(command(request), request.machines, request.threads)
    variables = process.with_gpus(request, None) | slurm.rendezvous()
    return process.execute(line, variables, request.log)


def requirements(container: Container) -> list[Requirement]:
    """Return what the runner requires of the machine: nothing."""
    return []
