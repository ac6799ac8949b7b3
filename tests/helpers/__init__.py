"""What several test modules share: videos made on the fly, processes, clones of the workflow."""

import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import yaml

from actionrec.frames.decoder.video import open_video
from actionrec.frames.encoders import ImageFormat
from actionrec.frames.flow import FlowSettings
from helpers.snakemake_server import run_snakemake

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "tests/data"
PNG = ImageFormat("png", "fpng", 95)
DIS = FlowSettings("dis", "medium", "max_rad")
PARTS = ("Snakefile", "workflow", "config", "envs", "profiles")


def draw_frame(index: int, width: int, height: int) -> np.ndarray:
    """Return frame `index` of a test video: a gradient with a square that moves, BGR uint8."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)[None, :]
    frame[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    left = (3 * index) % max(1, width - 8)
    frame[4:12, left : left + 8] = (0, 0, 255)
    return frame


def write_video(
    path: Path,
    frames: int = 10,
    width: int = 64,
    height: int = 48,
    fourcc: str = "XVID",
    fps: float = 30.0,
) -> Path:
    """Encode a small real video with OpenCV and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, (width, height))
    assert writer.isOpened(), f"this OpenCV cannot write {fourcc} to {path}"
    for index in range(frames):
        writer.write(draw_frame(index, width, height))
    writer.release()
    return path


def decode(path: Path, start: float = 0.0, end: float = math.inf) -> np.ndarray:
    """Return the frames of a video as the package decodes them."""
    with open_video(path) as video:
        return np.array([frame.image for frame in video.frames(start, end)])


def clone(target: Path) -> Path:
    """Copy what the workflow consists of, without results."""
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, target / part)  # with compiled modules
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return target


def small_project(
    folder: Path,
    change: Callable[[dict], object] = lambda config: None,
    video: str = "{cls} [{index}] & co.mp4",
) -> Path:
    """Return a clone with a folder of tiny videos and a configuration that runs in seconds.

    `change` alters the configuration, `video` is the pattern of the videos' names.
    """
    clone(folder)
    for cls in ("clap", "wave"):
        for index in range(8):
            name = video.format(cls=cls, index=index)
            write_video(folder / "videos" / cls / name, 8, fourcc="mp4v")
    config = {
        "dataset": {
            "name": "small",
            "source": "folder",
            "path": "videos",
            "classes": ["wave", "clap"],
        },
        "splits": {"method": "fraction", "test_fraction": 0.25, "validation": 0.25},
        "export": {"etlt": "never"},
        "spec": {
            "model": {"input_height": 32, "input_width": 32},
            "dataset": {"batch_size": 2, "workers": 0},
            "train": {"num_epochs": 2, "optim": {"lr_steps": [1]}},
        },
        "experiments": {"rgb_2d": None},
    }
    change(config)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    return folder


def path_with_trtexec() -> str:
    """Return a PATH on which TensorRT's `trtexec` is a stand-in, played by the tests' Python."""
    folders = (REPOSITORY / "tests/integration/standin/bin", Path(sys.executable).parent)
    return os.pathsep.join([*map(str, folders), os.environ["PATH"]])


def snakemake(folder: Path, *options: str, check: bool = True) -> str:
    """Run Snakemake in `folder` and return all it says."""
    with tempfile.NamedTemporaryFile() as output:
        said = Path(output.name)
        code = run_snakemake(folder, options, said, seconds=900)
        text = said.read_text()
    assert (code == 0) == check, text[-8000:]
    return text


def edit(path: Path, change) -> None:
    """Load a YAML file, let `change` alter it, and write it back."""
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def start_python(folder: Path, script: str, *arguments: Path) -> subprocess.Popen:
    """Start a script that may import the package, as Snakemake starts one."""
    (folder / "script.py").write_text(script)
    return subprocess.Popen(
        [sys.executable, str(folder / "script.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "workflow/scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers_of(process):
    """Return the process ids of a script's workers, which a server of its own forks."""
    return [
        worker
        for child in children_of(process.pid)
        if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes()
        for worker in children_of(child)
    ]


def children_of(pid):
    """Return the process ids of what a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition, seconds=30.0):
    """Return what `condition` does once it is true."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return result


def is_running(pid):
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def planned(folder: Path, *options: str) -> dict[str, int]:
    """Return how many jobs of each rule a dry run would start."""
    text = snakemake(folder, *options, "-n", "-q", "rules")
    if "Nothing to be done" in text:
        return {}
    table = text.split("Job stats:")[1].split("total")[0]
    rows = [line.split() for line in table.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
