"""Check that this machine has what a run will need."""

import os
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

from actionrec import runners
from actionrec.config.addresses import is_address
from actionrec.errors import InputError, snakemake_command, some
from actionrec.preflight import frame_space
from actionrec.preflight.class_space import Space, frames_table
from actionrec.runners.containers import OWNER, owner
from actionrec.runners.requirements import Kind, Requirement, registry
from actionrec.utils.processes import try_command
from actionrec.weights import encryption
from actionrec.weights.ngc import KEY_PAGE, api_key

GB = 10**9
IMAGE_SIZE = 25 * GB  # an image of TAO's, unpacked
SIF_SIZE = 12 * GB  # the same as Apptainer's compressed file, or its layers as they are pulled
FRAME_DISK = "ACTIONREC_FRAME_DISK"  # as in native/data/frame_memory, which imports PyTorch
SHARED_MEMORY = GB  # through which the worker processes of a training pass clips


@dataclass(frozen=True)
class Check:
    """One thing that was checked: its state and, unless it is fine, what to type.

    What is not `required` is only advice: the run does without it.
    """

    name: str
    state: str
    fix: str | None = None
    required: bool = True

    @property
    def verdict(self) -> Literal["ok", "missing", "advice"]:
        """Return `missing` for what the run requires, `advice` for what it can do without."""
        if self.fix is None:
            return "ok"
        return "missing" if self.required else "advice"


def look(config: Mapping[str, Any], ngc: bool) -> list[Check]:
    """Return all checks for a configuration; `ngc` tells whether it names weights on NGC.

    Only what the chosen runner, dataset and exports cannot do without is required.
    """
    return [
        *_runner(config["tao"]),
        *_dataset(config["dataset"]),
        *disks(config),
        *_image_files(config["tao"]),
        *_frame_cache(config["tao"]["runner"]),
        _shared_memory(config["tao"]["runner"]),
        *([_ngc_key()] if ngc else []),
        *_encryption(config["tao"], config["export"]["etlt"]),
    ]


def table(checks: Sequence[Check]) -> str:
    """Return the checks as text, one a line, each with its fix below."""
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
            fix=f"type what follows the arrows, then check again: {snakemake_command('preflight')}",
        )


def _runner(tao: Mapping[str, Any]) -> Iterator[Check]:
    """Yield what the runner requires."""
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
    started, said = try_command(
        engine,
        "run",
        "--rm",
        f"--label={OWNER}={owner()}",
        "--gpus=all",
        "--entrypoint=true",
        image,
    )
    if started or not any(word in said.lower() for word in ("device driver", "nvidia")):
        return Check(row.name, "containers start with GPUs")
    return Check(row.name, said.splitlines()[-1], row.fix)


def _pull(engine: str, image: str) -> Iterator[Check]:
    """Yield whether an image that is not here can be pulled, and will fit."""
    known, said = try_command(engine, "manifest", "inspect", image)
    state = "in its registry" if known else (said.splitlines() or ["no answer"])[-1]
    yield Check("image can be pulled", state, None if known else f"{engine} pull {image}")
    template = "{{.DockerRootDir}}" if engine == "docker" else "{{.Store.GraphRoot}}"
    found, root = try_command(engine, "info", "--format", template)
    if found and Path(root).is_dir():
        free = shutil.disk_usage(root).free
        fix = None if free > IMAGE_SIZE else f"{engine} system prune, or a larger disk for {root}"
        yield Check("disk for the image", _of(free, IMAGE_SIZE), fix)


def disks(config: Mapping[str, Any]) -> Iterator[Check]:
    """Yield whether the images that are not there yet will fit where they will lie.

    That is only advice while the videos are not here: other footage than HMDB51's may take less.
    """
    frames = _existing(Path("resources", config["dataset"]["name"], "frames"))
    # What lies on one disk must fit there together.
    on_disk: defaultdict[int, Space] = defaultdict(Space)
    for need in frame_space.needs(config, os.statvfs(frames).f_frsize):
        folder = _existing(need.folder)
        device = folder.stat().st_dev
        on_disk[device] += need.space
        stored = config["frames"].get("store", "images")
        form = config["frames"]["format"] if stored == "images" else stored
        yield _fitting(need, on_disk[device], folder, form)


def _fitting(need: frame_space.Need, all_here: Space, folder: Path, form: str) -> Check:
    """Return whether what is needed, and what else goes to the disk of `folder`, will fit."""
    disk, files = os.statvfs(folder), round(all_here.files)
    free = shutil.disk_usage(folder).free
    counted = disk.f_files > 0  # some file systems have no table of inodes that could be full
    state = _of(free, all_here.size)
    if counted and files:
        state += f", {disk.f_favail:,} files free, about {files:,} needed"
    state += f" in {folder}: {need.basis}"
    fix = None
    if free < all_here.size:
        fix = f"free some space, or make {need.folder.parts[0]} a link to a larger disk"
        if form == "png":
            fix += ", or set frames.format: jpg, which takes a fifth"
        if need.copies:
            fix += ", or set splits.links: symlink, which copies nothing"
    elif counted and disk.f_favail < files:
        fix = f"make {need.folder.parts[0]} a link to a disk with more free inodes (df -i)"
    return Check(f"disk for {need.what}", state, fix, required=need.measured)


def _image_files(tao: Mapping[str, Any]) -> Iterator[Check]:
    """Yield whether an image that is pulled as a file will fit: it, its layers, and its parts."""
    files = [Path(file) for file in runners.images(tao) if not Path(file).exists()]
    if not files:
        return
    cache = os.environ.get("APPTAINER_CACHEDIR") or Path.home() / ".apptainer"
    places = {
        "the image": (files[0], SIF_SIZE, "make resources/images a link to a larger disk"),
        "the image's layers": (Path(cache), SIF_SIZE, "export APPTAINER_CACHEDIR=..."),
        "unpacking the image": (
            Path(os.environ.get("APPTAINER_TMPDIR") or tempfile.gettempdir()),
            IMAGE_SIZE,
            "export APPTAINER_TMPDIR=...",
        ),
    }
    # What lies on one disk must fit there together.
    needed: Counter[int] = Counter()
    for what, (place, size, fix) in places.items():
        folder = _existing(place)
        needed[folder.stat().st_dev] += size
        free, all_here = shutil.disk_usage(folder).free, needed[folder.stat().st_dev]
        state = f"{_of(free, all_here)} in {folder}"
        yield Check(f"disk for {what}", state, None if free >= all_here else fix)


def _frame_cache(runner: str) -> Iterator[Check]:
    """Yield whether the disk that is to hold decoded frames can be used; it is never filled up."""
    folder = os.environ.get(FRAME_DISK)
    if not folder or runner != "native":
        return
    if not os.access(folder, os.W_OK | os.X_OK) or not Path(folder).is_dir():
        yield Check(FRAME_DISK, f"no folder to write to: {folder}", f"mkdir -p {folder}")
    else:
        free = shutil.disk_usage(folder).free
        yield Check(FRAME_DISK, f"{free / GB:.1f} GB free in {folder}, of which half is used")


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists, on the volume where it will be.

    Links are followed: `resources` may lead to another disk.
    """
    folder = folder.resolve()
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _of(free: float, needed: float) -> str:
    return f"{free / GB:.1f} GB free, about {needed / GB:.1f} GB needed"


def _dataset(dataset: Mapping[str, Any]) -> Iterator[Check]:
    """Yield whether the files and folders are there that the configuration names."""
    named = list(_named_paths(dataset))
    missing = [(key, path) for key, path in named if not path.exists()]
    if missing:
        state = f"not there: {some([str(path) for _, path in missing])}"
        keys = dict.fromkeys(key for key, _ in missing)
        yield Check("files of the dataset", state, f"correct {', '.join(keys)}")
    elif named:
        yield Check("files of the dataset", "there")


def _named_paths(dataset: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield keys of the configuration, and the files or folders that they name.

    What is named by an address, the plan asks for.
    """
    path = dataset.get("path") or {}
    for part, place in path.items() if isinstance(path, Mapping) else [("", path)]:
        if not is_address(place):
            yield f"dataset.path.{part}" if part else "dataset.path", Path(place).expanduser()
    for key in ("labels", "videos"):
        if dataset.get(key) and not is_address(dataset[key]):
            yield f"dataset.{key}", Path(dataset[key]).expanduser()
    if dataset["source"] == "folder" and not is_address(path):
        yield from _class_folders(Path(dataset["path"]).expanduser(), dataset["classes"])
    unpacked = all(frames_table(dataset, cls).exists() for cls in dataset["classes"])
    for role, archive in (dataset.get("archives") or {}).items():
        if archive and _is_local(archive["path"]) and not unpacked:  # else it may have been deleted
            yield f"dataset.archives.{role}.path", Path(archive["path"]).expanduser()


def _is_local(path: str | None) -> bool:
    return path is not None and not is_address(path)


def _class_folders(root: Path, classes: Sequence[str]) -> Iterator[tuple[str, Path]]:
    if not root.is_dir():
        return
    # macOS takes letters apart: a folder's name may have another Unicode form than its class.
    folders = {normalize("NFC", folder.name): folder for folder in root.iterdir()}
    for cls in classes:
        yield "dataset.classes", folders.get(normalize("NFC", cls), root / cls)


def _shared_memory(runner: str) -> Check:
    """Return whether there is shared memory; a container has its own: tao.container.shm_size."""
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
    fix = f"make one at {KEY_PAGE}, then: export NGC_API_KEY=..."
    try:
        if api_key():
            return Check("NGC key", "set")
    except InputError:  # whose message names the variable, not the key
        return Check("NGC key", "not a key: it holds a space or a letter that no key has", fix)
    state = "not set, which is enough for public models"
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


def before_the_first_job(
    config: Mapping[str, Any], ngc: bool, rules: Mapping[str, Collection[str]], here: bool
) -> str | None:
    """Refuse a run that cannot end well on this machine; return what to warn of, if anything.

    `rules` are those with jobs to run, each with the resources it asks for. A cluster's jobs do
    not run `here`: there the first task says what is missing. That the frames will hardly fit on
    the disk is an estimate, and only a warning.
    """
    uses_gpu = any("gpu" in resources for resources in rules.values())
    if here and uses_gpu and config["tao"]["runner"] in runners.IN_CONTAINERS:
        require(look(config, ngc))
    images = {"extract_frames", "extract_flow", "link_split"} & rules.keys()
    checks = disks(config) if images else ()
    warnings = [f"{check.name}: {check.state}; {check.fix}" for check in checks if check.fix]
    return "\n".join(warnings) or None
