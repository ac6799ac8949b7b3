"""The project's own engine, in this very Python."""

import sys
from collections.abc import Sequence

from actionrec.runners import process
from actionrec.runners.request import Container, Request
from actionrec.runners.requirements import Need


def command(request: Request) -> list[str]:
    """Return the command of the built-in engine."""
    return [sys.executable, "-m", "actionrec.native", *request.arguments]


def run(request: Request, gpus: Sequence[str] | None) -> tuple[int, str]:
    """Run the engine on the GPUs with these ids, or on what it finds."""
    return process.execute(command(request), process.visible(request, gpus), request.log)


def needs(container: Container) -> list[Need]:
    """Return what the runner needs of the machine: nothing."""
    return []
