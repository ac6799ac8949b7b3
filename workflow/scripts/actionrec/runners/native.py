"""The project's own engine, in this very Python."""

import sys
from collections.abc import Sequence

from actionrec.runners import process
from actionrec.runners.request import Container, TaskRequest
from actionrec.runners.requirements import Requirement


def command(request: TaskRequest) -> list[str]:
    """Return the command of the built-in engine."""
    return [sys.executable, "-m", "actionrec.native", *request.arguments]


def run(request: TaskRequest, gpus: Sequence[str] | None) -> tuple[int, str]:
    """Run the engine on the GPUs with these ids, or on what it finds."""
    return process.execute(command(request), process.with_gpus(request, gpus), request.log)


def requirements(container: Container) -> list[Requirement]:
    """Return what the runner requires of the machine: nothing."""
    return []
