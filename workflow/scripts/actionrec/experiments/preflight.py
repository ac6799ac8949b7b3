"""Look whether this machine has what a run will need, before hours have gone into it."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionrec import runners
from actionrec.errors import InputError
from actionrec.runners.requirements import Kind, Requirement, registry
from actionrec.utils.processes import try_command
from actionrec.weights import encryption
from actionrec.weights.ngc import KEY_PAGE

GB = 10**9
VIDEO_PIXELS = 96_938  # a frame, on average: 240 high and 320 to 560 wide
# Measured on HMDB51 (51 classes, 2.1 GB): bytes of frames for each byte of video, and a class.
FRAMES_PER_VIDEO = {"png": 38, "jpg": 8}
FRAMES_PER_CLASS = {"png": 1.6 * GB, "jpg": 0.33 * GB}
IMAGE_SIZE = 25 * GB  # an image of TAO's, unpacked
SHARED_MEMORY = GB  # what the worker processes of a training hand over in


@dataclass(frozen=True)
class Check:
    """One thing looked at: its state and, unless it is fine, what to type.

    What is not `required` is only advice: the run goes on without it.
    """

    name: str
    state: str
    fix: str | None = None
    required: bool = True

    @property
    def verdict(self) -> str:
        """`ok`, `missing` or, where the run can go on without it, `advice`."""
        if self.fix is None:
            return "ok"
        return "missing" if self.required else "advice"


def look(config: Mapping[str, Any], ngc: bool) -> list[Check]:
    """Return all checks for a configuration; `ngc` tells whether it names weights on NGC.

    Only what the chosen runner, dataset and exports cannot do without is required.
    """
    return [
        *_runner(config["tao"]),
        disk(config),
        _shared_memory(config["tao"]["runner"]),
        *([_ngc_key()] if ngc else []),
        *_encryption(config["tao"], config["export"]["etlt"]),
    ]


def table(checks: Sequence[Check]) -> str:
    """Return the checks as text, one a line, each fix under what it mends."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.verdict:<8} {check.name:<{width}}  {check.state}")
        if check.fix is not None:
            lines.append(f"{'':<8} {'':<{width}}  -> {check.fix}")
    return "\n".join(lines) + "\n"


def require(checks: Sequence[Check]) -> None:
    """Raise `InputError` with what is missing and required, if anything is."""
    missing = [check for check in checks if check.verdict == "missing"]
    if missing:
        raise InputError(
            "This machine lacks what the run needs:\n" + table(missing).rstrip(),
            fix="type what stands after the arrows, then look again: snakemake preflight",
        )


def _runner(tao: Mapping[str, Any]) -> Iterator[Check]:
    """Yield what the runner says that it needs."""
    container = runners.container(tao)
    rows = runners.requirements_of(tao["runner"], container)
    by_engine = tao["runner"] in ("docker", "launcher")
    present = any(row.kind is Kind.IMAGE and row.met for row in rows)
    for row in rows:
        if row.kind is Kind.LOGIN:
            # Other registries may want none, and Apptainer may have the image in its cache.
            required = by_engine and registry(container.image) == "nvcr.io"
            yield Check(row.name, row.state, row.fix, required)
        elif row.kind is Kind.GPU_RUNTIME and not row.met and by_engine:
            yield _gpu_runtime(container.engine, container.image if present else None, row)
        else:
            yield Check(row.name, row.state, row.fix)
    if by_engine and not present and all(row.met for row in rows):
        yield from _pull(container.engine, container.image)


def _gpu_runtime(engine: str, image: str | None, row: Requirement) -> Check:
    """Return what starting a container proves: the daemon may have what is not seen from here."""
    if image is None or engine != "docker":
        return Check(row.name, row.state, row.fix, required=engine != "docker")
    started, said = try_command(engine, "run", "--rm", "--gpus=all", "--entrypoint=true", image)
    if started or not any(word in said.lower() for word in ("device driver", "nvidia")):
        return Check(row.name, "containers start with GPUs")
    return Check(row.name, said.splitlines()[-1], row.fix)


def _pull(engine: str, image: str) -> Iterator[Check]:
    """Yield whether an image that is not here can be had, and has room."""
    known, said = try_command(engine, "manifest", "inspect", image)
    state = "in its registry" if known else (said.splitlines() or ["no answer"])[-1]
    yield Check("image can be pulled", state, None if known else f"{engine} pull {image}")
    template = "{{.DockerRootDir}}" if engine == "docker" else "{{.Store.GraphRoot}}"
    found, root = try_command(engine, "info", "--format", template)
    if found and Path(root).is_dir():
        free = shutil.disk_usage(root).free
        fix = None if free > IMAGE_SIZE else f"{engine} system prune, or a larger disk for {root}"
        yield Check("disk for the image", _of(free, IMAGE_SIZE), fix)


def disk(config: Mapping[str, Any]) -> Check:
    """Return whether the frames that are not there yet will fit, by what HMDB51's took."""
    needed = frames_to_come(config["dataset"], config["frames"]["format"])
    if size := config["frames"].get("size"):
        needed *= size[0] * size[1] / VIDEO_PIXELS
    free = shutil.disk_usage(Path.cwd()).free
    state = _of(free, needed)
    if free >= needed:
        return Check("disk for the frames", state)
    fix = "free some space"
    if config["frames"]["format"] == "png":
        fix += ", or set frames.format: jpg, which takes a fifth"
    return Check("disk for the frames", state, fix)


def _of(free: float, needed: float) -> str:
    return f"{free / GB:.1f} GB free, about {needed / GB:.1f} GB needed"


def frames_to_come(dataset: Mapping[str, Any], form: str) -> float:
    """Estimate the bytes of the frames that are not there yet, from videos or else from HMDB51."""
    if dataset["source"] == "demo":
        return 0.0
    needed = 0.0
    for cls in dataset["classes"]:
        if Path("results", dataset["name"], "frames", f"{cls}.tsv").exists():
            continue
        videos = Path("resources", dataset["name"], "videos")
        if dataset["source"] == "folder":
            videos = Path(dataset["path"]).expanduser()
        size = sum(file.stat().st_size for file in (videos / cls).rglob("*") if file.is_file())
        needed += size * FRAMES_PER_VIDEO[form] if size else FRAMES_PER_CLASS[form]
    return needed


def _shared_memory(runner: str) -> Check:
    """A container has a shared memory of its own, which tao.container.shm_size sets."""
    name = "/dev/shm"  # noqa: S108
    if runner in runners.IN_CONTAINERS:
        return Check(name, "the container's own")
    if not Path(name).is_dir():
        return Check(name, "not there", "set spec.dataset.workers: 0", required=False)
    free = shutil.disk_usage(name).free
    fix = None
    if free < SHARED_MEMORY:
        fix = f"sudo mount -o remount,size=16G {name}; or set spec.dataset.workers: 0"
    return Check(name, f"{free / GB:.1f} GB free", fix, required=False)


def _ngc_key() -> Check:
    if os.environ.get("NGC_API_KEY") or os.environ.get("NGC_CLI_API_KEY"):
        return Check("NGC key", "set")
    state = "not set, which is enough for public models"
    fix = f"make one at {KEY_PAGE}, then: export NGC_API_KEY=..."
    return Check("NGC key", state, fix, required=False)


def _encryption(tao: Mapping[str, Any], etlt: str) -> Iterator[Check]:
    """Yield what encrypted checkpoints and .etlt files need; inside containers TAO has its own."""
    own = tao["encrypt"] and tao["runner"] == "native"
    if etlt == "never" and not tao["encrypt"]:
        return
    if os.environ.get("TAO_KEY") == "":
        yield Check("TAO_KEY", "empty", "export TAO_KEY=...; or: unset TAO_KEY")
    if etlt == "never" and not own:
        return
    required = own or etlt == "always"
    name, environment = "Python for the encryption", encryption.ENVIRONMENT
    if encryption.is_ready():
        yield Check(name, str(environment.folder))
    elif python := encryption.find_python():
        fix = None if required else environment.command
        yield Check(name, f"{python}, environment not made yet", fix, required=False)
    else:
        fix = f"uv python install {environment.pythons[0]}, then {environment.command}"
        yield Check(name, f"no {' or '.join(environment.pythons)} here", fix, required)
