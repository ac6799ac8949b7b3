"""What the runners with containers share: a name, a record, and removal at the end of the job."""

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
from actionrec.runners.request import Container, TaskRequest
from actionrec.utils.files import write_text

# Passed by name when they are set: what NVIDIA's containers read from their environment.
SECRETS = ("TAO_KEY", "NGC_API_KEY", "WANDB_API_KEY")


def secrets(request: TaskRequest) -> dict[str, str]:
    """Return the variables of a request and those secrets that are set here."""
    return {name: os.environ[name] for name in SECRETS if name in os.environ} | dict(
        request.variables
    )


def container_name(request: TaskRequest) -> str:
    """Return a name for the container: the same for the same task, another for another job."""
    folder = request.work_folder.absolute()
    words = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "_", part) for part in folder.parts[-4:])
    slurm = os.environ.get("SLURM_JOB_ID")
    job = [f"slurm{slurm}"] if slurm else []
    return "-".join(["actionrec", words[-80:].strip("-._"), task_id(request), *job])


def task_id(request: TaskRequest) -> str:
    """Return eight digits that distinguish the task from all others on this machine."""
    return hashlib.sha256(os.fsencode(request.work_folder.absolute())).hexdigest()[:8]


def user() -> str:
    """Return who owns what the container writes."""
    return f"{os.getuid()}:{os.getgid()}"


def write_record(request: TaskRequest, **facts: Any) -> None:
    """Write container.json into the task's work folder: which container runs it, and where."""
    content = {"host": socket.gethostname(), "image": request.container.image, **facts}
    write_text(request.work_folder / "container.json", json.dumps(content, indent=2) + "\n")


@contextmanager
def removed_with_job(container: Container, selector: str) -> Iterator[None]:
    """Remove the containers that the engine's filter `selector` finds, before and after.

    Before: those that an earlier job left behind. After: also when this process is killed within.
    """
    watchdog.remove_containers(container.engine, selector)
    with watchdog.watching("containers", container.engine, selector):
        try:
            yield
        finally:
            watchdog.remove_containers(container.engine, selector)


def csv(fields: Sequence[str]) -> str:
    """Join fields as --mount and --gpus read them: those with a comma or a quote are quoted."""
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
