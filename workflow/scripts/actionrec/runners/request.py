"""What a rule requests of a runner, and the container to run it in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# The tutorial's: data loaders share memory, CUDA pins it and nests deeply.
SHM_SIZE = "16g"
ULIMITS = {"memlock": -1, "stack": 67108864}


@dataclass(frozen=True)
class Container:
    """An image and how to run it.

    `engine` is `docker` or `podman`, `mounts` are folders that it sees besides the project's, and
    `options` go to the engine's `run` (Apptainer: `exec`) as they are; the launcher has none.
    """

    image: str = ""
    engine: str = "docker"
    shm_size: str = SHM_SIZE
    ulimits: Mapping[str, int] = field(default_factory=lambda: dict(ULIMITS))
    mounts: Sequence[str] = ()
    options: Sequence[str] = ()


@dataclass(frozen=True)
class TaskRequest:
    """One execution of TAO's command.

    `program` and `arguments` are the command line; `variables` are passed by name, so that no
    value is ever on a command line or in a file; `paths` must be visible at their own place;
    `work_folder` is for the runner's own files; `gpus` is how many GPUs the task uses, on one of
    its `machines`; so is `threads`.
    """

    arguments: Sequence[str]
    work_folder: Path
    log: Path
    program: Sequence[str] = ("action_recognition",)
    variables: Mapping[str, str] = field(default_factory=dict)
    paths: Sequence[Path] = ()
    threads: int = 1
    gpus: int = 1
    machines: int = 1
    container: Container = field(default_factory=Container)

    @property
    def command(self) -> list[str]:
        """Return the command line of TAO's command."""
        return [*self.program, *self.arguments]
