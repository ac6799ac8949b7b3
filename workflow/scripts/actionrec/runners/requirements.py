"""What a runner requires of the machine: programs, a daemon, GPUs, an image, a login."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from actionrec.utils.processes import try_command


class Kind(Enum):
    """What a requirement is about."""

    PROGRAM = auto()
    DAEMON = auto()
    GPU = auto()
    GPU_RUNTIME = auto()
    IMAGE = auto()
    IMAGE_TO_PULL = auto()  # not here; the first task, or a rule, pulls it
    LOGIN = auto()


@dataclass(frozen=True)
class Requirement:
    """One thing that a runner requires: its state and, if it is not met, what to type."""

    kind: Kind
    name: str
    state: str
    fix: str | None = None

    @property
    def met(self) -> bool:
        """Tell whether nothing is to be done."""
        return self.fix is None


def program(name: str, fix: str) -> Requirement:
    """Return whether a program is on PATH."""
    found = shutil.which(name)
    return Requirement(Kind.PROGRAM, name, found or "not on PATH", None if found else fix)


def registry(image: str) -> str:
    """Return the registry that an image comes from."""
    first, _, rest = image.partition("/")
    return first if rest and (set(first) & set(".:") or first == "localhost") else "docker.io"


def login(image: str) -> Requirement:
    """Return whether the container engine's configuration has credentials for an image."""
    host = registry(image)
    name = f"login to {host}"
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {}
    if any(host in content.get(key, {}) for key in ("auths", "credHelpers")):
        return Requirement(Kind.LOGIN, name, "done")
    user = " (user name: $oauthtoken; password: your NGC API key)" if host == "nvcr.io" else ""
    return Requirement(Kind.LOGIN, name, "not done", f"docker login {host}{user}")


def gpu_driver(ids: Sequence[str] | None) -> Requirement:
    """Return whether NVIDIA's driver answers; `ids` are the GPUs that are known already."""
    if ids:
        return Requirement(Kind.GPU, "GPU", ", ".join(ids))
    _, output = try_command(
        "nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"
    )
    state = output.splitlines()[-1] if output else "none"
    return Requirement(Kind.GPU, "GPU", state, "install NVIDIA's driver")
