"""TAO in a container of Apptainer, or of Singularity: a child process, without a daemon.

An image in a registry is converted into one file first, by `pull`: a task that named it by its
address would convert its gigabytes again on every node.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from actionrec.errors import InputError
from actionrec.runners import containers, mounts, process
from actionrec.runners.gpus import visible_ids
from actionrec.runners.request import Container, TaskRequest
from actionrec.runners.requirements import Kind, Requirement, gpu_driver, login, registry
from actionrec.utils.files import replacing

PROGRAMS = ("apptainer", "singularity")
IMAGES = Path("resources/images")  # where the workflow's rule puts what it pulls
INSTALL = "install apptainer, or on a cluster: module load apptainer"


def command(
    request: TaskRequest,
    gpus: Sequence[str] | None,
    *,
    program: str,
    folders: Mapping[Path, Path],
    workdir: Path,
) -> list[str]:
    """Return the command line of the engine; all variables come through its environment.

    Shared memory and limits are the host's. `folders` says what is mounted where.
    """
    image = image_file(containers.require_image(request.container))
    return [
        program,
        "exec",
        *([] if gpus == () else ["--nv"]),
        "--pid",  # when it ends, all that it has started ends
        "--cleanenv",
        "--no-eval",
        f"--home={_home(request)}",
        *(word for at, source in folders.items() for word in ("--mount", _mount(source, at))),
        f"--pwd={workdir}",
        *request.container.options,
        str(image),
        *request.command,
    ]


def _mount(source: Path, target: Path) -> str:
    return containers.csv(["type=bind", f"source={source}", f"destination={target}"])


def _home(request: TaskRequest) -> Path:
    return request.work_folder.absolute() / "user"


def is_file(image: str) -> bool:
    """Tell whether an image is a file or folder, not a name in a registry."""
    return image.startswith(("/", ".")) or image.endswith(".sif")


def image_file(image: str) -> Path:
    """Return what an image is run from: itself, or the file that it is pulled into."""
    return Path(image) if is_file(image) else IMAGES / f"{re.sub('[/:@]', '_', image)}.sif"


def pull(image: str, target: Path, log: Path) -> None:
    """Convert an image in a registry into the file `target`; raise `InputError` if that fails.

    Layers that were downloaded already are taken from Apptainer's cache.
    """
    with replacing(target) as part:
        line = [_require_program(), "build", str(part), f"docker://{image}"]
        code, output = process.execute(line, os.environ, log)
        if code != 0 or not part.exists():
            raise InputError(
                "The image could not be pulled:\n    " + "\n    ".join(output.splitlines()[-5:]),
                where="configuration, tao.image",
                found=image,
                fix=f"apptainer registry login --username ... docker://{registry(image)}, or "
                "export APPTAINER_TMPDIR=/a/larger/disk, as it says; then run again",
            )


def variables(request: TaskRequest, gpus: Sequence[str] | None) -> dict[str, str]:
    """Return the variables that the engine hands to the task: prefixed, they reach it alone."""
    visible = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    common = process.common_variables(request.threads)
    inside = {**common, **visible, **containers.secrets(request)}
    prefixes = [f"{name.upper()}ENV_" for name in PROGRAMS]
    return {f"{prefix}{key}": value for prefix in prefixes for key, value in inside.items()}


def run(request: TaskRequest, gpus: Sequence[str] | None) -> tuple[int, str]:
    """Run the task in a container that is a child of this process."""
    workdir = Path.cwd()
    program = _require_program()
    line = command(
        request,
        gpus,
        program=program,
        folders=mounts.needed(request.paths, workdir, request.container.mounts),
        workdir=workdir,
    )
    _home(request).mkdir(parents=True, exist_ok=True)
    containers.write_record(request, engine=program, gpus=gpus)
    return process.execute(line, {**os.environ, **variables(request, gpus)}, request.log)


def _program() -> str | None:
    return next((name for name in PROGRAMS if shutil.which(name)), None)


def _require_program() -> str:
    if found := _program():
        return found
    raise InputError(
        "The runner `apptainer` finds neither Apptainer nor Singularity.", where="PATH", fix=INSTALL
    )


def requirements(container: Container) -> list[Requirement]:
    """Return the state of program, GPU and image."""
    program, image = _program(), container.image
    fix = None if program else INSTALL
    rows = [
        Requirement(Kind.PROGRAM, PROGRAMS[0], program or "not on PATH", fix),
        gpu_driver(visible_ids()),
    ]
    if image_file(image).exists():
        return [*rows, Requirement(Kind.IMAGE, image, "there")]
    if is_file(image):
        fix = f"apptainer pull {image} docker://nvcr.io/nvidia/tao/tao-toolkit:TAG"
        return [*rows, Requirement(Kind.IMAGE, image, "missing", fix)]
    state = f"not here: the run pulls it (about 20 GB) into {IMAGES}"
    return [*rows, Requirement(Kind.IMAGE_TO_PULL, image, state), login(image)]
