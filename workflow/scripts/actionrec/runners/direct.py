"""TAO's command as it is installed here, as inside its containers."""

import shutil
from collections.abc import Sequence

from actionrec.errors import InputError
from actionrec.runners import process
from actionrec.runners.request import Container, TaskRequest
from actionrec.runners.requirements import Requirement, program

PROGRAM = "action_recognition"
FIX = "run inside a TAO container, or set tao.runner: native"


def command(request: TaskRequest) -> list[str]:
    """Return TAO's command as it is."""
    return request.command


def run(request: TaskRequest, gpus: Sequence[str] | None) -> tuple[int, str]:
    """Run the command from PATH; raise `InputError` where there is none."""
    program_name = request.command[0]
    if shutil.which(program_name) is None:
        raise InputError(
            f"The runner `direct` finds no `{program_name}` on PATH.",
            where="configuration, tao.runner",
            found="direct",
            fix=FIX,
        )
    return process.execute(command(request), process.with_gpus(request, gpus), request.log)


def requirements(container: Container) -> list[Requirement]:
    """Return whether the command is on PATH."""
    return [program(PROGRAM, FIX)]
