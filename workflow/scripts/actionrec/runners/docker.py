"""TAO in a container of Docker or Podman."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from actionrec.runners import containers, mounts, process
from actionrec.runners.gpus import node_ids, visible_ids
from actionrec.runners.request import Container, TaskRequest
from actionrec.runners.requirements import Kind, Requirement, gpu_driver, login, program
from actionrec.utils.processes import try_command

HOME = "/home/tao"  # a memory disk: the image has no home for a user that it does not know
LABEL = "actionrec.task"
# A shell that runs the task and kills it when its own stdin ends: the one sign of a dead job that
# always reaches a container. A scheduler's SIGKILL takes every process of the job, the watchdog
# too, while the container is a child of the daemon.
DIE_WITH_STDIN = 'exec 3<&0; (cat <&3 >/dev/null; kill -KILL $$) & exec "$@" </dev/null 3<&-'
TOOLKIT = "sudo apt install nvidia-container-toolkit"


def command(
    request: TaskRequest,
    gpus: Sequence[str] | None,
    *,
    name: str,
    folders: Mapping[Path, Path],
    workdir: Path,
    user: str,
    variables: Sequence[str] = (),
) -> list[str]:
    """Return the command line of the engine.

    `gpus` are ids, None for all; `folders` says what is mounted where, as `mounts.needed` gives
    it; `variables` are names of variables that are passed on.
    """
    container = request.container
    common = process.common_variables(request.threads)
    return [
        container.engine,
        "run",
        "--rm",
        "--init",
        "--interactive",
        f"--name={name}",
        f"--label={LABEL}={containers.task_id(request)}",
        f"--label={containers.OWNER}={containers.owner()}",
        *_gpu_options(container.engine, gpus),
        *_user_options(container.engine, user),
        f"--shm-size={container.shm_size}",
        *(f"--ulimit={key}={value}" for key, value in container.ulimits.items()),
        *(f"--mount={containers.mount(source, at)}" for at, source in folders.items()),
        f"--workdir={workdir}",
        *(f"--env={key}={value}" for key, value in common.items()),
        *(f"--env={variable}" for variable in variables),
        *container.options,
        containers.require_image(container),
        *("sh", "-c", DIE_WITH_STDIN, "sh"),
        *request.command,
    ]


def _gpu_options(engine: str, gpus: Sequence[str] | None) -> list[str]:
    """Return the options that name the GPUs: to Podman by their Container Device Interface."""
    if engine == "podman":
        return [f"--device=nvidia.com/gpu={gpu}" for gpu in (["all"] if gpus is None else gpus)]
    if gpus is None:
        return ["--gpus=all"]
    return [f"--gpus={containers.csv(['device=' + ','.join(gpus)])}"] if gpus else []


def _user_options(engine: str, user: str) -> list[str]:
    """Return the options by which the caller owns what is written, with a name and a home."""
    rootless = engine == "podman" and not user.startswith("0:")
    return [
        *(["--userns=keep-id"] if rootless else []),
        f"--user={user}",
        f"--tmpfs={HOME}:rw,exec,mode=1777",
        f"--env=HOME={HOME}",
        "--env=USER=tao",
        "--env=LOGNAME=tao",
    ]


def run(request: TaskRequest, gpus: Sequence[str] | None) -> tuple[int, str]:
    """Run the task in a container of its own, which ends when the job does."""
    gpus = node_ids(gpus)
    workdir, name = Path.cwd(), containers.container_name(request)
    variables = containers.secrets(request)
    line = command(
        request,
        gpus,
        name=name,
        folders=mounts.needed(request.paths, workdir, request.container.mounts),
        workdir=workdir,
        user=containers.user(),
        variables=list(variables),
    )
    selector = f"label={LABEL}={containers.task_id(request)}"
    containers.write_record(request, engine=request.container.engine, name=name, gpus=gpus)
    with containers.removed_with_job(request.container, selector):
        return process.execute(line, {**os.environ, **variables}, request.log, stdin_pipe=True)


def requirements(container: Container) -> list[Requirement]:
    """Return the state of engine, GPU runtime and image; without an engine that of the engine."""
    engine = container.engine
    rows = [program(engine, f"sudo apt install {'docker.io' if engine == 'docker' else engine}")]
    if rows[-1].met:
        rows.append(_daemon(engine))
    if rows[-1].met:
        containers.remove_abandoned(engine)
        rows += [gpu_driver(visible_ids()), _gpu_runtime(engine), *_image(container)]
    return rows


def _daemon(engine: str) -> Requirement:
    name = f"{engine} daemon"
    reached, output = try_command(engine, "version", "--format", "{{.Server.Version}}")
    if reached:
        return Requirement(Kind.DAEMON, name, output)
    fix = f"sudo systemctl start {engine}"
    if "permission denied" in output.lower():
        fix = "sudo usermod -aG docker $USER, then log in again"
    return Requirement(Kind.DAEMON, name, (output.splitlines() or ["no answer"])[-1], fix)


def _gpu_runtime(engine: str) -> Requirement:
    if engine == "podman":
        found = any(Path(folder, "nvidia.yaml").exists() for folder in ("/etc/cdi", "/var/run/cdi"))
        fix = f"{TOOLKIT}; sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
    else:
        _, output = try_command(engine, "info", "--format", "{{json .Runtimes}}")
        hook = program("nvidia-container-runtime-hook", TOOLKIT).met
        found = hook or "nvidia" in (json.loads(output) if output.startswith("{") else {})
        fix = f"{TOOLKIT}; sudo nvidia-ctk runtime configure; sudo systemctl restart docker"
    state = "there" if found else "not found"
    return Requirement(Kind.GPU_RUNTIME, "GPU runtime", state, None if found else fix)


def _image(container: Container) -> list[Requirement]:
    image = container.image
    present, _ = try_command(container.engine, "image", "inspect", image)
    if present:
        return [Requirement(Kind.IMAGE, image, "there")]
    state = "not here: the first task pulls it (about 20 GB)"
    return [Requirement(Kind.IMAGE_TO_PULL, image, state), login(image)]
