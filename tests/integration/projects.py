"""A small project to run through containers."""

from pathlib import Path

import yaml
from dockerd import IMAGE, MOUNTS

from actionrec.experiments import tasks
from actionrec.runners import Container
from helpers import clone, write_video

SPLIT = "results/small/experiments/rgb_2d/split1"


def make_project(folder: Path) -> Path:
    """Return a clone with tiny videos of two classes, configured for the runner `docker`."""
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
            "runner": "docker",
            "image": IMAGE,
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


def train(outputs: Path, runner: str, image: str = IMAGE) -> Path:
    """Train in the project that is the working directory; return the model, one of `outputs`.

    Another folder of outputs stands for another engine: it retrains.
    """
    model = outputs / "model.pth"
    training = tasks.Training(
        spec=Path(SPLIT, "specs/train.yaml"),
        split=Path(SPLIT, "split.tsv"),
        pretrained=(),
        model=model,
        choice=outputs / "model.json",
        history=outputs / "history.csv",
    )
    engine = tasks.Engine(
        runner,
        str(outputs),
        threads=1,
        log=outputs / "log",
        container=Container(image, mounts=MOUNTS, ulimits={}),
    )
    tasks.train(training, engine)
    return model
