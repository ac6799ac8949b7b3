"""TAO through NVIDIA's launcher: `tao model action_recognition`, one process a task.

The launcher (nvidia-tao 6.26.3) returns 0 whatever happened, wants a terminal, lets a shell split
its arguments again and leaves its container running when it is killed. So the task is a script in
a mounted folder, which writes down its exit code; the launcher gets a terminal, a home with a
configuration and mounts of its own, so that the user's stay as they are, and a watchdog.
"""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actionrec.errors import InputError
from actionrec.runners import containers, docker, mounts, process
from actionrec.runners.gpus import node_ids
from actionrec.runners.request import Container, TaskRequest
from actionrec.runners.requirements import Kind, Requirement, registry
from actionrec.utils.environments import LAUNCHER, is_ready, prepare
from actionrec.utils.files import write_text

SOCKET = "unix:///var/run/docker.sock"  # the launcher knows no other
# GitLab's variable and the next one make the launcher ignore most settings.
MISLEADING = ("CI_PROJECT_DIR", "TAO_DOCKER_DISABLE", "LAUNCHER_MODE_INTERNAL", "DOCKER_HOST")


def command(folder: str) -> list[str]:
    """Return the launcher's command line; `folder` is the work folder inside the container."""
    tao = str(LAUNCHER.program("tao"))
    return [tao, "model", "action_recognition", "run", "sh", f"{folder}/job.sh"]


def folder_inside(request: TaskRequest) -> str:
    """Return where the work folder is mounted: a unique path that a shell does not split."""
    return f"/actionrec/{containers.task_id(request)}"


def configuration(image: str) -> dict[str, Any]:
    """Return a configuration of the launcher that has the task, and nothing else, in this image."""
    host = registry(image)
    name, _, tag = image.removeprefix(f"{host}/").rpartition(":")
    if not name or "@" in image:
        raise InputError(
            "The launcher takes an image by its tag only.",
            where="configuration, tao.image",
            found=image,
            fix="name the image as REGISTRY/NAME:TAG, or set tao.runner: docker",
        )
    task = {"docker_registry": host, "tasks": ["action_recognition"]}
    return {
        "format_version": 3.0,
        "toolkit_version": tag,
        "published_date": "set by the workflow",
        "task_group": {"model": {"dockers": {name: {tag: task}}}},
    }


def mounts_file(
    request: TaskRequest,
    gpus: Sequence[str] | None,
    folders: Mapping[Path, Path],
    user: str,
) -> dict[str, Any]:
    """Return the content of the mounts file: folders, variables that are no secret, options.

    Raises `InputError` for a folder that the launcher cannot mount where it is.
    """
    for at, source in folders.items():
        if at != source or ":" in str(at):
            raise InputError(
                "The launcher mounts only real folders without a colon in their names.",
                where=at,
                found=f"a link to {source}" if at != source else None,
                fix="let links lead to real paths, or set tao.runner: docker",
            )
    folder = folder_inside(request)
    variables = {
        **process.common_variables(request.threads),
        "HOME": f"{folder}/user",
        "USER": "tao",
    }
    if gpus is not None:
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    real = [{"source": str(source), "destination": str(at)} for at, source in folders.items()]
    return {
        "Mounts": [*real, {"source": str(request.work_folder.absolute()), "destination": folder}],
        "Envs": [{"variable": key, "value": value} for key, value in variables.items()],
        "DockerOptions": {
            "user": user,
            "shm_size": request.container.shm_size,
            "ulimits": dict(request.container.ulimits),
        },
    }


def script(request: TaskRequest, workdir: Path) -> str:
    """Return the script that is the task: secrets from a pipe, the command, its exit code.

    When the pipe ends before the command does, the job is dead: the script then ends the container,
    whose first process is a shell with a terminal, and as such reacts to a hang-up.
    """
    folder = folder_inside(request)
    return "\n".join(
        [
            "#!/bin/sh",
            # File descriptor 3 stays open to the end: it is also the sign that the job lives.
            f"exec 3<{folder}/secrets",
            'while IFS= read -r line <&3 && [ "$line" ]; do export "$line"; done',
            "(cat <&3; kill -HUP 1; kill -KILL -1) >/dev/null 2>&1 &",
            f"cd {shlex.quote(str(workdir))} && {shlex.join(request.command)} 3<&-",
            f"echo $? >{folder}/code.part && mv {folder}/code.part {folder}/code",
            "",
        ]
    )


def run(request: TaskRequest, gpus: Sequence[str] | None) -> tuple[int, str]:
    """Run the task through the launcher; raise `InputError` if the launcher never ran it."""
    prepare(LAUNCHER)
    require_default_engine()
    gpus = node_ids(gpus)
    folder, workdir = request.work_folder.absolute(), Path.cwd()
    folders = mounts.needed(request.paths, workdir, request.container.mounts)
    content = mounts_file(request, gpus, folders, containers.user())
    config = configuration(containers.require_image(request.container))
    variables = _write_inputs(folder, config, content)
    write_text(folder / "job.sh", script(request, workdir))
    _write_information(folder, variables)
    containers.write_record(request, engine="tao", mounts=str(folder / "mounts.json"), gpus=gpus)
    (folder / "code").unlink(missing_ok=True)
    line = command(folder_inside(request))
    with (
        containers.removed_with_job(request.container, f"volume={folder_inside(request)}"),
        _secrets_pipe(folder / "secrets", containers.secrets(request)),
    ):
        code, output = process.execute(line, variables, request.log, terminal=True)
    return _task_code(folder / "code", code, output), output


def require_default_engine() -> None:
    """Raise `InputError` where Docker's own settings name an engine that the launcher ignores."""
    host = os.environ.get("DOCKER_HOST", SOCKET)
    if host != SOCKET:
        raise InputError(
            "The launcher talks to the Docker engine at its default socket only.",
            where="environment variable DOCKER_HOST",
            found=host,
            allowed=[SOCKET],
            fix="unset DOCKER_HOST, or set tao.runner: docker",
        )


def _write_inputs(
    folder: Path, config: Mapping[str, Any], content: Mapping[str, Any]
) -> dict[str, str]:
    """Write what the launcher reads into the work folder; return the launcher's environment.

    Its home has the user's login to registries, as a link.
    """
    home = folder / "home"
    (folder / "user").mkdir(parents=True, exist_ok=True)
    write_text(home / ".tao" / "config.json", json.dumps(config, indent=2) + "\n")
    write_text(folder / "mounts.json", json.dumps(content, indent=2) + "\n")
    login = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker").absolute()
    (home / ".docker").unlink(missing_ok=True)
    (home / ".docker").symlink_to(login)
    inherited = process.environment({}, threads=1)
    host = next(iter(config["task_group"]["model"]["dockers"].values()))
    return {key: value for key, value in inherited.items() if key not in MISLEADING} | {
        "HOME": str(home),
        "LAUNCHER_MOUNTS": str(folder / "mounts.json"),
        # The same registry; named so, the launcher leaves it to the engine whether a login is due.
        "OVERRIDE_REGISTRY": next(iter(host.values()))["docker_registry"],
    }


def _write_information(folder: Path, variables: Mapping[str, str]) -> None:
    """Keep what `tao info` prints with the run."""
    line = [str(LAUNCHER.program("tao")), "info", "--verbose"]
    with (folder / "info.txt").open("wb") as target:
        subprocess.run(line, env=variables, stdout=target, stderr=target, check=False)


@contextmanager
def _secrets_pipe(pipe: Path, secrets: Mapping[str, str]) -> Iterator[None]:
    """Offer variables to the first reader of a named pipe: they reach no file, no command line.

    After an empty line the pipe stays open, and ends when this process does.
    """
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    lines = "".join(f"{key}={value}\n" for key, value in secrets.items())
    own_end = os.open(pipe, os.O_RDWR)  # for writing alone, it would wait for a reader
    try:
        os.write(own_end, f"{lines}\n".encode())
        yield
    finally:
        os.close(own_end)
        pipe.unlink()


def _task_code(file: Path, launcher_code: int, output: str) -> int:
    if file.exists():
        return int(file.read_text())
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    raise InputError(
        "The launcher ended without running the task to its end:\n    " + "\n    ".join(lines[-8:]),
        where=file.parent,
        found=f"exit code {launcher_code} of the launcher",
        fix="correct what it names; or set tao.runner: docker",
    )


def requirements(container: Container) -> list[Requirement]:
    """Return the state of the launcher and of the Docker engine that it uses."""
    ready = is_ready(LAUNCHER)
    state = str(LAUNCHER.program("tao")) if ready else "not installed"
    launcher = Requirement(Kind.PROGRAM, "tao", state, None if ready else LAUNCHER.command)
    return [launcher, *docker.requirements(container)]
