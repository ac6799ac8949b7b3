"""Measure whether what makes training faster costs accuracy: the same seeds with and without it.

The demo's five classes, drawn with other seeds; ResNet18-3D on 8 frames of 112x112 from random
weights, tested on videos of other scenes than those of the training. The peer is a training as TAO
computes, on lossless frames as the videos have them. Each seed decides on weights, order and clips,
alike in all ways.

    python benchmarks/accuracy.py
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle, product
from pathlib import Path

import numpy as np
import yaml

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))

from throughput import environment  # noqa: E402

from actionrec.frames.encoders import ImageFormat, make_encoder, resize  # noqa: E402
from actionrec.sources.demo_drawing import draw_scene, draw_shot, render  # noqa: E402

CLASSES = ("fall_floor", "ride_bike", "walk", "run", "push")
SIZE = (112, 112)
SOURCE = "lossless PNG, source size"
FORMS = {
    SOURCE: ImageFormat("png", "cv2", 95),
    "JPEG 95, source size": ImageFormat("jpg", "cv2", 95),
    "JPEG 95, model size": ImageFormat("jpg", "cv2", 95, size=SIZE),
}


@dataclass(frozen=True)
class Way:
    """One way to train: on which form of the frames, and with which settings."""

    frames: str = SOURCE
    native: dict = field(default_factory=dict)
    train: dict = field(default_factory=dict)


CHOSEN = {"cudnn": {"benchmark": True, "deterministic": False}}
HALF = {"channels_last": True}
WAYS = {
    "as TAO, kernels launched one by one (peer)": Way(native={"cuda_graphs": False}),
    "as TAO, CUDA graphs": Way(),
    "fp16, channels last, CUDA graphs": Way(native={"precision": "fp16", **HALF}, train=CHOSEN),
    "bf16, channels last, CUDA graphs": Way(native={"precision": "bf16", **HALF}, train=CHOSEN),
    "as TAO, JPEG 95 frames": Way(frames="JPEG 95, source size"),
    "as TAO, JPEG 95 frames of the model's size": Way(frames="JPEG 95, model size"),
}


def draw_video(root: Path, part: str, label: str, number: int, seed: int) -> None:
    """Draw one video, and store its frames in every form."""
    rng = np.random.default_rng((seed, number // len(CLASSES)))
    scene = draw_scene(rng)
    shot = draw_shot(label, np.random.default_rng((seed, number)))
    pictures = list(render(scene, shot))
    for name, image_format in FORMS.items():
        folder = root / name / part / label / f"{number:04d}" / "rgb"
        folder.mkdir(parents=True)
        encode = make_encoder(image_format)
        for index, picture in enumerate(pictures, start=1):
            path = folder / f"{index:06d}.{image_format.suffix}"
            path.write_bytes(encode(resize(picture, image_format.size)))


def draw_sets(root: Path, scenes: dict[str, int]) -> None:
    """Draw so many scenes of a part, each with a video of every class."""
    jobs = []
    with ProcessPoolExecutor() as pool:
        for seed, (part, count) in enumerate(scenes.items()):
            for number, label in zip(range(count * len(CLASSES)), cycle(CLASSES), strict=False):
                jobs.append(pool.submit(draw_video, root, part, label, number, 51 + seed))
    for job in jobs:
        job.result()


def run(way: Way, seed: int, data: Path, work: Path, epochs: int) -> tuple[float, float]:
    """Train and evaluate; return the accuracy in percent and the last training loss."""
    work.mkdir()
    spec = {
        "results_dir": str(work),
        "model": {
            "model_type": "rgb",
            "input_type": "3d",
            "backbone": "resnet_18",
            "rgb_seq_length": 8,
            "input_width": SIZE[0],
            "input_height": SIZE[1],
        },
        "dataset": {
            "train_dataset_dir": str(data / way.frames / "train"),
            "label_map": {label: number for number, label in enumerate(CLASSES)},
            "batch_size": 16,
            "clips_per_video": 2,
            "workers": 4,
            "augmentation_config": {"train_crop_type": "no_crop"},
        },
        "train": {
            "seed": seed,
            "num_epochs": epochs,
            "checkpoint_interval": epochs,
            "optim": {"lr": 0.01, "lr_steps": [epochs * 2 // 3]},
            **way.train,
        },
        "native": way.native,
        "evaluate": {
            "checkpoint": str(work / "train/ar_model_latest.pth"),
            "test_dataset_dir": str(data / way.frames / "test"),
        },
    }
    where = work / "spec.yaml"
    where.write_text(yaml.safe_dump(spec))
    for task in ("train", "evaluate"):
        done = subprocess.run(
            [sys.executable, "-m", "actionrec.native", task, "-e", str(where)],
            env=environment(),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"{task} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return kpi(work / "evaluate", "accuracy"), kpi(work / "train", "train_loss")


def kpi(folder: Path, name: str) -> float:
    """Return the last value of a figure in a status.json."""
    lines = map(json.loads, (folder / "status.json").read_text().splitlines())
    return [line["kpi"][name] for line in lines if name in line.get("kpi", {})][-1]


def report(results: dict[str, list[tuple[float, float]]]) -> None:
    """Print a Markdown table; differences are to the peer with the same seed."""
    peer = next(iter(results.values()))
    print(
        "| way | accuracy, % (each seed) | difference to the peer, mean ± its error | last loss |"
    )
    print("| --- | --- | --- | --- |")
    for name, runs in results.items():
        differences = [ours[0] - theirs[0] for ours, theirs in zip(runs, peer, strict=True)]
        error = statistics.stdev(differences) / len(differences) ** 0.5
        seen = " ".join(f"{accuracy:.1f}" for accuracy, _ in runs)
        mean = statistics.mean(accuracy for accuracy, _ in runs)
        loss = statistics.mean(loss for _, loss in runs)
        print(
            f"| {name} | {mean:.1f} ({seen}) | {statistics.mean(differences):+.1f} ± {error:.1f} "
            f"| {loss:.4f} |"
        )


def main() -> None:
    """Parse the command line, measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--scenes", type=int, nargs=2, default=[40, 40], metavar=("TRAIN", "TEST"))
    parser.add_argument("--at-a-time", type=int, default=4, help="trainings side by side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        draw_sets(data, dict(zip(("train", "test"), options.scenes, strict=True)))
        tasks = list(product(WAYS, range(1, options.seeds + 1)))

        def one(task: tuple[str, int]) -> tuple[float, float]:
            name, seed = task
            work = Path(folder) / f"{list(WAYS).index(name)}_{seed}"
            return run(WAYS[name], seed, data, work, options.epochs)

        with ThreadPoolExecutor(options.at_a_time) as pool:
            found: Sequence[tuple[float, float]] = list(pool.map(one, tasks))
        results: dict[str, list[tuple[float, float]]] = {}
        for (name, _), outcome in zip(tasks, found, strict=True):
            results.setdefault(name, []).append(outcome)
        report(results)


if __name__ == "__main__":
    main()
