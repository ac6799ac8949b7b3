"""A TAO that is installed here, as inside its containers."""

import shutil
from collections.abc import Sequence

from actionrec.errors import InputError
from actionrec.runners import process
from actionrec.runners.request import Container, Request
from actionrec.runners.requirements import Need

PROGRAM = "action_recognition"


def command(request: Request) -> list[str]:
    """Return TAO's command as it is."""
    return request.command


def run(request: Request, gpus: Sequence[str] | None) -> tuple[int, str]:
    """Run the command from PATH; raise `InputError` where there is none."""
    if shutil.which(PROGRAM) is None:
        raise InputError(
            f"The runner `direct` finds no `{PROGRAM}` on PATH.",
            where="configuration, tao.runner",
            found="direct",
            fix="run inside a TAO container, or set tao.runner: native",
        )
    return process.execute(command(request), process.visible(request, gpus), request.log)


def needs(container: Container) -> list[Need]:
    """Return whether the command is there."""
    found = shutil.which(PROGRAM)
    fix = None if found else "run inside a TAO container, or set tao.runner: native"
    return [Need(PROGRAM, found or "not on PATH", fix)]
