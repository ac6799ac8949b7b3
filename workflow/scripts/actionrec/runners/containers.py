"""What the runners with containers share: names, a record, and an end with the job."""

import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actionrec.errors import InputError
from actionrec.runners import watchdog
from actionrec.runners.request import Container, Request
from actionrec.utils.files import write_text

# Passed by name when they are set: what NVIDIA's containers read from their environment.
SECRETS = ("TAO_KEY", "NGC_API_KEY", "WANDB_API_KEY")


def secrets(request: Request) -> dict[str, str]:
    """Return the variables of a request and those secrets that are set here."""
    return {name: os.environ[name] for name in SECRETS if name in os.environ} | dict(
        request.variables
    )


def name(request: Request) -> str:
    """Return a name for the container: the same for the same task, another for another job."""
    room = request.room.absolute()
    words = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", part) for part in room.parts[-4:])
    slurm = os.environ.get("SLURM_JOB_ID")
    job = [f"slurm{slurm}"] if slurm else []
    return "-".join(["actionrec", words[-80:].strip("-._"), identity(request), *job])


def identity(request: Request) -> str:
    """Return eight digits that tell the task of this project from all others of this machine."""
    return hashlib.sha256(os.fsencode(request.room.absolute())).hexdigest()[:8]


def user() -> str:
    """Return who owns what the container writes."""
    return f"{os.getuid()}:{os.getgid()}"


def record(request: Request, **facts: Any) -> None:
    """Write container.json into the task's room: which container runs it, and where."""
    content = {"host": socket.gethostname(), "image": request.container.image, **facts}
    write_text(request.room / "container.json", json.dumps(content, indent=2) + "\n")


@contextmanager
def guarded(container: Container, wanted: str) -> Iterator[None]:
    """Remove the containers that the filter `wanted` finds: those left behind, and those of now.

    The latter also when this process is killed within.
    """
    watchdog.remove_containers(container.engine, wanted)
    with watchdog.watching("containers", container.engine, wanted):
        try:
            yield
        finally:
            watchdog.remove_containers(container.engine, wanted)


def csv(fields: Sequence[str]) -> str:
    """Join fields as --mount and --gpus read them: what holds a comma or a quote is quoted."""
    quoted = [
        '"' + field.replace('"', '""') + '"' if set(field) & set(',"') else field
        for field in fields
    ]
    return ",".join(quoted)


def mount(source: Path, target: Path) -> str:
    """Return the value of a --mount option."""
    return csv(["type=bind", f"source={source}", f"target={target}"])


def require_image(container: Container) -> str:
    """Return the image's name; raise `InputError` if there is none."""
    if not container.image:
        raise InputError(
            "A runner with containers needs an image.",
            where="configuration, tao.image",
            fix="set tao.toolkit to a version with a known image, or tao.image",
        )
    return container.image
