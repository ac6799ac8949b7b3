"""Golden values, drawn folders of frames and finished trainings that the engine's tests share."""

import json
import os
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from actionrec.native.data import transforms
from actionrec.spec.load import make_spec
from helpers import DATA, REPOSITORY

GOLDEN = DATA / "golden"
CODE = REPOSITORY / "workflow" / "scripts"
LABELS = {"fall": 0, "ride": 1}

torch.set_num_threads(1)  # nothing here is large enough for several threads


def tiny_spec(**changes: Mapping[str, object]) -> DictConfig:
    """Return a spec of clips of 3 frames of 16 x 12 pixels, with keys of its sections changed."""
    values = {
        "model": {"input_width": 16, "input_height": 12, "rgb_seq_length": 3},
        "dataset": {"workers": 0, "batch_size": 4, "clips_per_video": 2},
    }
    for section, keys in changes.items():
        values.setdefault(section, {}).update(keys)
    return make_spec(values, "test")


def read_golden(name: str):
    """Return a golden JSON file's content."""
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def noise(count: int, phase: int) -> np.ndarray:
    """Return the golden values' pseudo-random numbers in [-1, 1)."""
    x = np.sin(np.arange(count) * 12.9898 + phase) * 43758.5453
    return 2 * (x - np.floor(x)) - 1


def fill(network: torch.nn.Module) -> None:
    """Give each tensor of a network the values of the golden formula."""
    state = {}
    for name, tensor in network.state_dict().items():
        values = noise(tensor.numel(), zlib.crc32(name.encode()) % 1000)
        if name.endswith("num_batches_tracked"):
            values = np.zeros(1)
        elif name.endswith("running_var"):
            values = 1 + 0.25 * values**2
        elif name.endswith(("running_mean", "bias")):
            values = 0.1 * values
        elif tensor.dim() == 1:
            values = 1 + 0.1 * values
        else:
            values = values * np.sqrt(6 / (tensor.numel() / tensor.shape[0]))
        state[name] = torch.from_numpy(values).to(tensor.dtype).reshape(tensor.shape)
    network.load_state_dict(state)


def same(a: torch.nn.Module, b: torch.nn.Module, name: str) -> bool:
    """Tell whether two networks have one tensor `name`."""
    return bool((a.state_dict()[name] == b.state_dict()[name]).all())


def golden_frame(index: int, width: int, height: int) -> np.ndarray:
    """Return frame `index` of the golden values' drawn videos, RGB uint8."""
    y, x = np.mgrid[:height, :width]
    red = np.floor(x * 255 / (width - 1))
    green = (3 * y + 7 * index) % 256
    blue = (x + y + 11 * index) % 256
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def assert_drawn_from(expected: Mapping[Hashable, float], draws: Iterable[Hashable]) -> None:
    """Fail unless `draws` are plausible for the probabilities of `expected` (chi-square test).

    The threshold, by Wilson and Hilferty's approximation, is that of a chance of one in 10,000.
    """
    counts = Counter(draws)
    assert counts.keys() <= expected.keys()
    total = sum(counts.values())
    assert min(expected.values()) * total >= 5, "too few draws for the test"
    statistic = sum((counts[key] - total * p) ** 2 / (total * p) for key, p in expected.items())
    spread = 2 / (9 * (len(expected) - 1))
    threshold = (len(expected) - 1) * (1 - spread + 3.719 * spread**0.5) ** 3
    assert statistic < threshold, dict(counts)


def augmented(clips: Sequence[np.ndarray], spec, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the streams of a clip, (T, H, W, C) each, cropped and mirrored as a training would."""
    height, width = clips[0].shape[1:3]
    crop, flip = transforms.draw_augmentation(
        (width, height), spec.model, spec.dataset.augmentation_config, rng
    )
    cropped = (np.stack([crop(frame) for frame in clip]) for clip in clips)
    return [clip[:, :, ::-1] if flip else clip for clip in cropped]


def draw_video(folder: Path, hue: int, frames: int = 8, size: tuple[int, int] = (40, 32)) -> None:
    """Draw frames of a bright square that moves over a dark, noisy ground of one colour."""
    rgb = folder / "rgb"
    rgb.mkdir(parents=True)
    rng = np.random.default_rng([hue, *folder.name.encode()])
    for index in range(frames):
        frame = rng.integers(0, 60, (size[1], size[0], 3), dtype=np.uint8)
        frame[..., hue] += 60
        left = (3 * index) % (size[0] - 8)
        frame[8:16, left : left + 8] = 230
        Image.fromarray(frame).save(rgb / f"{index + 1:06d}.png")


def golden_flow(index: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return u and v of pair `index` of the golden values' drawn videos, uint8."""
    y, x = np.mgrid[:height, :width]
    u, v = (2 * x + 5 * index) % 256, (x + 3 * y + 13 * index) % 256
    return u.astype(np.uint8), v.astype(np.uint8)


def draw_flow(video: Path, suffix: str = "jpg") -> None:
    """Draw flow next to a video's frames: brighter in u for one class, in v for the other."""
    names = sorted(entry.stem for entry in (video / "rgb").iterdir())[:-1]
    bright = "uv"[sorted(LABELS).index(video.parent.name)] if video.parent.name in LABELS else "u"
    with Image.open(next((video / "rgb").iterdir())) as image:
        size = image.size
    for part in "uv":
        (video / part).mkdir()
        for name in names:
            rng = np.random.default_rng([ord(part), *video.name.encode(), int(name)])
            grey = rng.integers(0, 60, (size[1], size[0]), dtype=np.uint8)
            grey += 128 * (part == bright)
            Image.fromarray(grey).save(video / part / f"{name}.{suffix}")


def draw_tree(
    root: Path, videos: int, frames: int = 8, labels: Sequence[str] = tuple(LABELS)
) -> Path:
    """Draw `videos` videos a class under root/<class>/<video>/rgb."""
    for hue, label in enumerate(labels):
        for number in range(videos):
            draw_video(root / label / f"{root.name}_{label}_{number}", hue, frames)
    return root


def write_spec(path: Path, data: Path, results: Path, **changes: object) -> Path:
    """Write a complete spec of a tiny training: 2D ResNet-18, two frames of 32 x 32."""
    latest = str(results / "train" / "ar_model_latest.pth")
    values = {
        "results_dir": str(results),
        "model.input_width": 32,
        "model.input_height": 32,
        "model.rgb_seq_length": 2,
        "model.sample_strategy": "consecutive",
        "dataset.train_dataset_dir": str(data / "train"),
        "dataset.val_dataset_dir": str(data / "val"),
        "dataset.label_map": LABELS,
        "dataset.batch_size": 8,
        "dataset.clips_per_video": 4,
        "dataset.workers": 0,
        "dataset.augmentation_config.train_crop_type": "no_crop",
        "dataset.augmentation_config.rgb_input_mean": [0.5],
        "dataset.augmentation_config.rgb_input_std": [0.5],
        "train.num_epochs": 3,
        "train.optim.lr": 0.002,  # the predictions are clear, however a processor rounds
        "evaluate.checkpoint": latest,
        "evaluate.test_dataset_dir": str(data / "val"),
        "inference.checkpoint": latest,
        "inference.inference_dataset_dir": str(data / "val" / "ride"),
        "export.checkpoint": latest,
        "export.onnx_file": str(results / "export" / "model.onnx"),
        **changes,
    }
    spec = OmegaConf.create()
    for key, value in values.items():
        OmegaConf.update(spec, key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(OmegaConf.to_yaml(spec), encoding="utf-8")
    return path


def command(task: str, spec: Path | None, *overrides: str) -> list[str]:
    """Return the command line of a task."""
    given = [] if spec is None else ["-e", str(spec)]
    return [sys.executable, "-m", "actionrec.native", task, *given, *overrides]


def environment() -> dict[str, str]:
    """Return an environment in which Python finds this package, whatever is installed."""
    path = os.pathsep.join(filter(None, (str(CODE), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def run(
    task: str, spec: Path | None, *overrides: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a task in a process of its own."""
    return subprocess.run(
        command(task, spec, *overrides),
        env={**environment(), **variables},
        capture_output=True,
        text=True,
    )


def statuses(folder: Path) -> list[dict]:
    """Return the lines of a status.json."""
    return [json.loads(line) for line in (folder / "status.json").read_text().splitlines()]


def curve(folder: Path) -> list[tuple[int, float, float]]:
    """Return epoch, training loss and validation loss of each epoch in a status.json.

    An epoch that a killed training had logged and another repeated counts once, if equal.
    """
    rows = []
    epoch, validation = -1, 0.0
    for line in statuses(folder):
        kpi = line.get("kpi", {})
        if line["message"] == "Eval metrics generated.":
            validation = kpi["val_loss"]
        elif line["message"] == "Training loop in progress":
            epoch = line["epoch"]
        elif line["message"] == "Train metrics generated.":
            rows.append((epoch, kpi["train_loss"], validation))
    return sorted(set(rows))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with train/ (twelve videos) and val/ (eight videos) of two classes."""
    root = tmp_path_factory.mktemp("drawn")
    draw_tree(root / "train", videos=6)
    draw_tree(root / "val", videos=4)
    return root


@pytest.fixture(scope="session")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder like `drawn`, with optical flow next to the frames."""
    root = tmp_path_factory.mktemp("moving")
    for part, videos in (("train", 6), ("val", 4)):
        draw_tree(root / part, videos)
        for video in (root / part).glob("*/*"):
            draw_flow(video)
    return root


@pytest.fixture(scope="session")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the spec of a finished training, which ran in a process of its own.

    In the same folder are its stdout and, in train.stderr, a list of all modules it imported.
    """
    root = tmp_path_factory.mktemp("trained")
    spec = write_spec(root / "spec.yaml", drawn, root / "results")
    done = run("train", spec, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    (root / "train.stdout").write_text(done.stdout)
    (root / "train.stderr").write_text(done.stderr)
    return spec
