"""A small project to run through containers."""

from pathlib import Path

import yaml
from dockerd import IMAGE, MOUNTS

from helpers import clone, write_video


def project(folder: Path, runner: str, image: str = IMAGE) -> Path:
    """Return a clone with tiny videos of two classes, configured for a runner with containers."""
    folder = clone(folder)
    for cls in ("clap", "wave"):
        for index in range(8):
            write_video(folder / f"videos/{cls}/{cls} [{index}], & co.mp4", 8, fourcc="mp4v")
    config = {
        "dataset": {
            "name": "small",
            "source": "folder",
            "path": "videos",
            "classes": ["wave", "clap"],
        },
        "splits": {"method": "fraction", "test_fraction": 0.25, "validation": 0.25},
        "tao": {
            "runner": runner,
            "image": image,
            "container": {"mounts": MOUNTS, "shm_size": "64m"},
        },
        "export": {"etlt": "never"},
        "spec": {
            "model": {"input_height": 32, "input_width": 32},
            "dataset": {"batch_size": 2, "workers": 0},
            "train": {"num_epochs": 2, "optim": {"lr_steps": [1]}},
        },
        "experiments": {"rgb_2d": None},
    }
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    return folder
