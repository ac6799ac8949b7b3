"""A small project to run through containers."""

from pathlib import Path

from dockerd import IMAGE, MOUNTS

from actionrec.experiments import tasks
from actionrec.runners import Container
from helpers import small_project

SPLIT = "results/small/experiments/rgb_2d/split1"


def make_project(folder: Path) -> Path:
    """Return a small project that is configured for the runner `docker`.

    Its videos have a comma in their names, which separates the options of Docker's mounts.
    """
    container = {"mounts": MOUNTS, "shm_size": "64m"}
    tao = {"runner": "docker", "image": IMAGE, "container": container}
    return small_project(folder, lambda c: c.update(tao=tao), "{cls} [{index}], & co.mp4")


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
    engine = tasks.Execution(
        runner,
        str(outputs),
        threads=1,
        log=outputs / "log",
        container=Container(image, mounts=MOUNTS, ulimits={}),
    )
    tasks.train(training, engine)
    return model
