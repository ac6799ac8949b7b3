"""Execute TAO's command `action_recognition` with one of several runners."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from actionrec.runners import apptainer, direct, docker, gpus, launcher, native
from actionrec.runners.request import Container, Request
from actionrec.runners.requirements import Need
from actionrec.spec.toolkits import IMAGES

RUNNERS: Mapping[str, ModuleType] = {
    "native": native,
    "direct": direct,
    "docker": docker,
    "apptainer": apptainer,
    "launcher": launcher,
}

IN_CONTAINERS = ("docker", "apptainer", "launcher")

__all__ = ["IN_CONTAINERS", "RUNNERS", "Container", "Need", "Request", "execute", "needs"]


def container(tao: Mapping[str, Any]) -> Container:
    """Return the container that the configuration's `tao` asks for."""
    image = tao.get("image") or IMAGES.get(tao["toolkit"], "")
    return Container(image, tao.get("docker", "docker"), **(tao.get("container") or {}))


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


def execute(runner: str, request: Request) -> tuple[int, str]:
    """Execute a request; return the exit code, which proves nothing with TAO, and what it printed.

    The output is also appended to the request's log as it comes. The task, wherever it runs, ends
    with this process, however that ends.
    """
    with gpus.leased(request.gpus) as ids:
        return RUNNERS[runner].run(request, ids)


def needs(runner: str, container: Container) -> list[Need]:
    """Return what a runner needs of this machine, and what to type where it is missing."""
    return RUNNERS[runner].needs(container)
