"""TAO in a container of Docker or Podman."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from actionrec.runners import containers, mounts, process
from actionrec.runners.gpus import of_the_node, visible
from actionrec.runners.request import Container, Request
from actionrec.runners.requirements import Need, ask, gpu_driver, login, program

HOME = "/home/tao"  # a memory disk: the image knows no home of a foreign user
LABEL = "actionrec.task"
# The task, killed when its input ends: the one sign of a dead job that reaches a container whatever
# died. A scheduler's SIGKILL takes every process of the job, the watchdog too; the container is a
# child of the daemon.
MORTAL = 'exec 3<&0; (cat <&3 >/dev/null; kill -KILL $$) & exec "$@" </dev/null 3<&-'
TOOLKIT = "sudo apt install nvidia-container-toolkit"


def command(
    request: Request,
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
    return [
        container.engine,
        "run",
        "--rm",
        "--init",
        "--interactive",
        f"--name={name}",
        f"--label={LABEL}={containers.identity(request)}",
        *_gpu_options(container.engine, gpus),
        *_user_options(container.engine, user),
        f"--shm-size={container.shm_size}",
        *(f"--ulimit={key}={value}" for key, value in container.ulimits.items()),
        *(f"--mount={containers.mount(source, at)}" for at, source in folders.items()),
        f"--workdir={workdir}",
        *(f"--env={key}={value}" for key, value in process.settings(request.threads).items()),
        *(f"--env={variable}" for variable in variables),
        *container.options,
        containers.require_image(container),
        *("sh", "-c", MORTAL, "sh"),
        *request.command,
    ]


def _gpu_options(engine: str, gpus: Sequence[str] | None) -> list[str]:
    """Podman knows GPUs by the names of the Container Device Interface."""
    if engine == "podman":
        return [f"--device=nvidia.com/gpu={gpu}" for gpu in (["all"] if gpus is None else gpus)]
    if gpus is None:
        return ["--gpus=all"]
    return [f"--gpus={containers.csv(['device=' + ','.join(gpus)])}"] if gpus else []


def _user_options(engine: str, user: str) -> list[str]:
    """Let the caller own what is written; give that user the name and home that images lack."""
    rootless = engine == "podman" and not user.startswith("0:")
    return [
        *(["--userns=keep-id"] if rootless else []),
        f"--user={user}",
        f"--tmpfs={HOME}:rw,exec,mode=1777",
        f"--env=HOME={HOME}",
        "--env=USER=tao",
        "--env=LOGNAME=tao",
    ]


def run(request: Request, gpus: Sequence[str] | None) -> tuple[int, str]:
    """Run the task in a container of its own, which ends when the job does."""
    gpus = of_the_node(gpus)
    workdir, name = Path.cwd(), containers.name(request)
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
    wanted = f"label={LABEL}={containers.identity(request)}"
    containers.record(request, engine=request.container.engine, name=name, gpus=gpus)
    with containers.guarded(request.container, wanted):
        return process.execute(line, {**os.environ, **variables}, request.log, lifeline=True)


def needs(container: Container) -> list[Need]:
    """Return the state of engine, GPU runtime and image; without an engine that of the engine."""
    engine = container.engine
    rows = [program(engine, f"sudo apt install {'docker.io' if engine == 'docker' else engine}")]
    if rows[-1].fine:
        rows.append(_daemon(engine))
    if rows[-1].fine:
        rows += [gpu_driver(visible()), _gpu_runtime(engine), *_image(container)]
    return rows


def _daemon(engine: str) -> Need:
    reached, said = ask(engine, "version", "--format", "{{.Server.Version}}")
    if reached:
        return Need(f"{engine} daemon", said)
    permission = "permission denied" in said.lower()
    fix = (
        "sudo usermod -aG docker $USER, then log in anew"
        if permission
        else (f"sudo systemctl start {engine}")
    )
    return Need(f"{engine} daemon", (said.splitlines() or ["no answer"])[-1], fix)


def _gpu_runtime(engine: str) -> Need:
    if engine == "podman":
        found = any(Path(folder, "nvidia.yaml").exists() for folder in ("/etc/cdi", "/var/run/cdi"))
        fix = f"{TOOLKIT}; sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
    else:
        _, said = ask(engine, "info", "--format", "{{json .Runtimes}}")
        hook = program("nvidia-container-runtime-hook", TOOLKIT).fine
        found = hook or "nvidia" in (json.loads(said) if said.startswith("{") else {})
        fix = f"{TOOLKIT}; sudo nvidia-ctk runtime configure; sudo systemctl restart docker"
    return Need("GPU runtime", "there" if found else "not found", None if found else fix)


def _image(container: Container) -> list[Need]:
    present, _ = ask(container.engine, "image", "inspect", container.image)
    if present:
        return [Need(container.image, "there")]
    return [
        Need(container.image, "not here: the first task pulls it (about 20 GB)"),
        login(container.image),
    ]
