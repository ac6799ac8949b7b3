"""What the runners with containers share: a name, a record, and removal at the end of the job."""

import hashlib
import json
import logging
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
from actionrec.utils.processes import start_time, try_command
from actionrec.utils.text import count

log = logging.getLogger(__name__)

OWNER = "actionrec.owner"  # the label that says which process a container belongs to

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


def owner() -> str:
    """Return what identifies this process among all that use one engine."""
    # Elsewhere the same number is another process; another user's may not be visible at all.
    here = f"{socket.gethostname()}/{os.getuid()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    return f"{here}/{os.getpid()}/{start_time(os.getpid())}"


def _is_abandoned(label: str) -> bool:
    """Tell whether a container's owner is known to have died."""
    here, _, process = label.rpartition("/")
    here, _, pid = here.rpartition("/")
    if here != owner().rsplit("/", 2)[0] or not pid.isdigit():
        return False
    return start_time(int(pid)) != process


def remove_abandoned(engine: str) -> int:
    """Remove the containers of jobs that have died; return how many there were.

    A job that is killed with its watchdog may leave one that was created and never started, in
    which nothing runs that could notice.
    """
    listing = ["ps", "--all", "--quiet", "--no-trunc", f"--filter=label={OWNER}"]
    listed, ids = try_command(engine, *listing)
    if not listed or not ids:
        return 0
    template = f'--format={{{{.Id}}}} {{{{index .Config.Labels "{OWNER}"}}}}'
    # One that ends meanwhile makes this fail; the next task looks again.
    _, lines = try_command(engine, "inspect", template, *ids.split())
    pairs = [line.split(" ", 1) for line in lines.splitlines() if " " in line]
    left = [name for name, label in pairs if _is_abandoned(label)]
    if left:
        try_command(engine, "rm", "--force", *left)
        log.warning("Removed %s whose job has died.", count(len(left), "container"))
    return len(left)


@contextmanager
def removed_with_job(container: Container, selector: str) -> Iterator[None]:
    """Remove the containers that the engine's filter `selector` finds, before and after.

    Before: those that an earlier job left behind, and any whose job has died. After: also when this
    process is killed within.
    """
    remove_abandoned(container.engine)
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
