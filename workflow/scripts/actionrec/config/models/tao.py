"""The section `tao`: what executes TAO's tasks."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from actionrec.config.models.section import PathText, Section, Shown, Text
from actionrec.runners.request import SHM_SIZE, ULIMITS
from actionrec.spec.toolkits import NEWEST, Toolkit, is_old


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise PydanticCustomError("relative", "should be an absolute path")
    return path


Runner = Literal["native", "docker", "apptainer", "launcher", "direct"]
AbsolutePath = Annotated[PathText, AfterValidator(_absolute)]


class ContainerConfig(Section):
    """How containers are run; nothing of it changes results."""

    shm_size: Annotated[str, Field(pattern="^[0-9]+[kmgKMG]?$"), Shown("a size, such as `8g`")] = (
        SHM_SIZE
    )
    """Shared memory of a container, through which data loaders pass clips.

    The default is that of NVIDIA's tutorial. Apptainer has the host's.
    """
    ulimits: Annotated[dict[str, int], Shown("a mapping")] = Field(default=dict(ULIMITS))
    """Limits of a container's processes. Apptainer has the host's."""
    mounts: Annotated[list[AbsolutePath], Shown("absolute paths")] = Field(default=[])
    """Folders that a container sees in addition.

    It always sees the project's folder and those that links in it lead to.
    """
    options: Annotated[list[Text], Shown("a list")] = Field(default=[])
    """More options of `docker run`, `podman run` or `apptainer exec`; the launcher takes none."""


class TaoConfig(Section):
    """What executes TAO's tasks."""

    runner: Runner = "native"
    """What executes TAO's command.

    `native`: the built-in engine. `docker`, `apptainer`: NVIDIA's container. `launcher`: the same
    through NVIDIA's `tao` command. `direct`: TAO's own `action_recognition` from PATH, as inside
    its containers.
    """
    toolkit: Toolkit = NEWEST
    """The TAO version that runs, or that `native` replaces (from `5.5.0` on). Quote it.

    [Toolkits](../docs/toolkits.md) describes how they differ.
    """
    image: Annotated[
        str | None,
        Field(pattern="^[A-Za-z0-9/.][A-Za-z0-9/._:@+-]*$"),
        Shown("a tag or digest, or a `.sif` file", "the toolkit's"),
    ] = None
    """The container image; another image retrains.

    For example `nvcr.io/nvidia/tao/tao-toolkit:6.26.3-pyt`. For Apptainer it may be a `.sif` file;
    otherwise one is made of the image in `resources/images`.
    """
    docker: Literal["docker", "podman"] = "docker"
    """The program of the runner `docker`."""
    container: ContainerConfig = Field(default_factory=ContainerConfig)
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint becomes the model.

    `best`: the epoch with the highest validation accuracy, then the lowest loss. `last`: the last.
    """
    encrypt: Annotated[bool | None, Shown("`true`, `false`", "`false`; `true` before 5.0.0")] = None
    """Encrypt the checkpoints as TAO does. Toolkits before 5.0 always do.

    The key is in the environment variable `TAO_KEY`, as for [export](#export). A spec names the
    variable, never the key. The native engine needs the environment of NVIDIA's encryption for it.
    """


def default_encrypt(toolkit: str) -> bool:
    """Return whether checkpoints are encrypted if `tao.encrypt` does not say."""
    return is_old(toolkit)
