"""Execute TAO's command `action_recognition` with one of several runners.

A runner is a module with two functions: `run(request, gpus)` executes a `TaskRequest` on the GPUs
with these ids and returns the exit code and the output; `requirements(container)` lists what it
requires of this machine. A new runner is such a module, entered in RUNNERS.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from actionrec.runners import apptainer, direct, docker, gpus, launcher, native
from actionrec.runners.request import Container, TaskRequest
from actionrec.runners.requirements import Requirement
from actionrec.spec.toolkits import IMAGES


class Runner(Protocol):
    """What the module of a runner offers."""

    def run(self, request: TaskRequest, gpus: Sequence[str] | None) -> tuple[int, str]:
        """Execute a request; return the exit code and the output."""

    def requirements(self, container: Container) -> list[Requirement]:
        """Return what the runner requires of this machine."""


RUNNERS: Mapping[str, Runner] = {
    "native": native,
    "direct": direct,
    "docker": docker,
    "apptainer": apptainer,
    "launcher": launcher,
}

IN_CONTAINERS = ("docker", "apptainer", "launcher")

__all__ = [
    "IN_CONTAINERS",
    "RUNNERS",
    "Container",
    "Requirement",
    "TaskRequest",
    "execute",
    "requirements_of",
]


def container(tao: Mapping[str, Any]) -> Container:
    """Return the container that the configuration's `tao` asks for."""
    image = tao["image"] or IMAGES.get(tao["toolkit"], "")
    return Container(image, tao["docker"], **tao["container"])


def version(tao: Mapping[str, Any], engine: str) -> str:
    """Return what results depend on: runner, toolkit and image, or `engine`, the native one."""
    made_by = container(tao).image if tao["runner"] in IN_CONTAINERS else engine
    return f"{tao['runner']} {tao['toolkit']} {made_by}"


def images(tao: Mapping[str, Any]) -> list[str]:
    """Return the image files that the runner's tasks need and that `apptainer.pull` makes."""
    image = container(tao).image
    if tao["runner"] != "apptainer" or not image or apptainer.is_file(image):
        return []
    return [str(apptainer.image_file(image))]


def execute(runner: str, request: TaskRequest) -> tuple[int, str]:
    """Execute a request; return the exit code, which proves nothing with TAO, and the output.

    The output is also appended to the request's log as it comes. The task, wherever it runs, ends
    with this process, however that ends.
    """
    with gpus.lease(request.gpus) as ids:
        return RUNNERS[runner].run(request, ids)


def requirements_of(runner: str, container: Container) -> list[Requirement]:
    """Return what a runner requires of this machine, and what to type where it is missing."""
    return RUNNERS[runner].requirements(container)
