"""Compare the losses of NVIDIA's code and of the native engine, step by step, on the same clips.

Both start from equal weights. What NVIDIA's code draws at random (the order, frames, crops, flips)
is recorded, and the engine is made to draw the same; dropout, which both draw for themselves, is
off. So only the rounding differs, above all that of the engine's own 3D convolution on a CPU: a
second training takes PyTorch's. A third, from weights that differ by 1e-7 of their value, shows how
far rounding alone leads.

Each SET is a folder <class>/<video file>. COMMAND is a Python that has nvidia_tao_pytorch, a GPU or
what stands in for one.

    python benchmarks/same_losses.py ../videos/fight --nvidia "env PYTHONPATH=... python"
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import yaml
from recipes import SCRIPTS, Set, extract, figures, make_start, read_set, smaller_edge
from torch import nn

sys.path.insert(0, str(SCRIPTS))

from actionrec.native.__main__ import main as engine
from actionrec.native.data import frame_sampling, samplers, transforms
from actionrec.native.data.datasets import TrainDataset
from actionrec.native.data.videos import list_labelled_videos
from actionrec.native.networks.conv import Conv3d
from actionrec.native.training import totals

RECORDER = Path(__file__).with_name("record_nvidia.py")
NETWORKS = {"3d": 8, "2d": 3}  # frames of a clip
WAYS = {"native": "nvidia", "plain": "nvidia", "rounding": "native"}  # compared with
PARTS = {"step 1": slice(1), "3 steps": slice(3), "all": slice(None)}
ROUNDING = 1e-7  # of a weight; float32 has 6e-8


def spec_of(data: Set, videos: Path, work: Path, input_type: str, options: Any) -> dict[str, Any]:
    """Return the spec of a training in `work`, for both engines but for `native`."""
    return {
        "results_dir": str(work),
        "model": {
            "model_type": "rgb",
            "input_type": input_type,
            "backbone": "resnet_18",
            "rgb_seq_length": NETWORKS[input_type],
            "input_width": options.size,
            "input_height": options.size,
            "dropout_ratio": 0.0,
            "rgb_pretrained_model_path": str(work / "start.pth"),
            "rgb_pretrained_num_classes": 0,
        },
        "dataset": {
            "train_dataset_dir": str(videos),
            "val_dataset_dir": str(videos),
            "label_map": {label: number for number, label in enumerate(data.classes)},
            "batch_size": options.batch,
            "clips_per_video": 1,
            "workers": 0,
            "augmentation_config": {
                "train_crop_type": "random_crop",
                "crop_smaller_edge": smaller_edge(options.size),
                "val_center_crop": True,
                "horizontal_flip_prob": 0.5,
                "rgb_input_mean": [0.5],
                "rgb_input_std": [0.5],
            },
        },
        "train": {
            "num_epochs": options.epochs,
            "checkpoint_interval": options.epochs,
            "validation_interval": max(1, options.epochs // 2),
            "optim": {"lr": options.rate, "lr_steps": [options.epochs * 2 // 3]},
        },
    }


def link_videos(folder: Path, count: int, work: Path, side: int) -> tuple[Set, Path]:
    """Return a set and a folder of some of its videos' frames: the first `count` of each class."""
    data = read_set(folder.resolve(), work / "frames", ())
    root = work / "videos"
    for label in data.classes:
        (data.frames / label).mkdir(parents=True, exist_ok=True)
        (root / label).mkdir(parents=True, exist_ok=True)
        for name in [name for of, name in data.videos if of == label][:count]:
            extract(side, next((folder / label).glob(f"{name}.*")), data.frames / label / name)
            link = root / label / name
            if not link.is_symlink():
                link.symlink_to(data.frames / label / name)
    return data, root


def train_nvidia(command: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Train by NVIDIA's code; return what it drew and the losses of its steps."""
    work = Path(spec["results_dir"])
    (work / "spec.yaml").write_text(yaml.safe_dump(spec))
    recorder = [*shlex.split(command), RECORDER, work / "spec.yaml", work / "record.json"]
    with (work / "nvidia.log").open("w") as log:
        subprocess.run(recorder, stdout=log, stderr=log, check=True)
    return json.loads((work / "record.json").read_text())


def train_native(spec: dict[str, Any], clips: list[dict[str, Any]]) -> list[float]:
    """Train by the engine on recorded clips; return the losses of its steps."""
    work = Path(spec["results_dir"])
    native = {"precision": "tao", "channels_last": False}
    (work / "spec.yaml").write_text(yaml.safe_dump({**spec, "native": native}))
    with (
        (work / "native.log").open("w") as log,
        redirect_stdout(log),
        redirect_stderr(log),
        same_draws(spec, clips),
        recorded_losses() as losses,
    ):
        if engine(["train", "-e", str(work / "spec.yaml")]):
            raise RuntimeError((work / "native.log").read_text()[-1500:])
    return losses


@contextmanager
def same_draws(spec: dict[str, Any], clips: list[dict[str, Any]]) -> Iterator[None]:
    """Let the engine's loader draw recorded clips, in their order."""
    dataset, size = spec["dataset"], spec["model"]["input_width"]
    root, flips = Path(dataset["train_dataset_dir"]), dataset["augmentation_config"]
    videos = list_labelled_videos(root, dataset["label_map"], "dataset.train_dataset_dir")
    number = {"/".join(v.folder.parts[-2:]): index for index, v in enumerate(videos)}
    drawn = iter(clips)
    clip: dict[str, Any] = {}

    def video_of(self: TrainDataset, key: tuple[int, int]) -> int:
        epoch, position = key
        return number[clips[epoch * len(self) + position]["video"]]

    def frames(*_: Any) -> tuple[np.ndarray, ...]:
        clip.update(next(drawn))  # a clip's frames are drawn before its crop
        return (np.array(clip["frames"]),)

    def augmentation(*_: Any) -> tuple[transforms.CropWindow, bool]:
        left, top, chance = clip["draws"]
        flip = chance < flips["horizontal_flip_prob"]
        return transforms.CropWindow(left, top, size, size), flip

    with (
        patch.object(samplers, "shuffled", lambda count: lambda rng: np.arange(count)),
        patch.object(TrainDataset, "video_of", video_of),
        patch.object(frame_sampling, "stream_training_ids", frames),
        patch.object(transforms, "draw_augmentation", augmentation),
    ):
        yield


@contextmanager
def recorded_losses() -> Iterator[list[float]]:
    """Yield a list to which the engine's training appends the loss of each step."""
    losses: list[float] = []
    add_batch = totals.add_batch

    def recorded(sums: torch.Tensor, loss: torch.Tensor, *rest: torch.Tensor) -> None:
        if loss.requires_grad:  # not a validation's
            losses.append(loss.item())
        add_batch(sums, loss, *rest)

    with patch.object(totals, "add_batch", recorded):
        yield losses


def round_weights(start: Path, target: Path) -> None:
    """Write the weights of a file, each changed by about what rounding would change it."""
    weights = torch.load(start, weights_only=True)["state_dict"]
    torch.manual_seed(0)
    for tensor in weights.values():
        if tensor.is_floating_point():
            tensor *= 1 + ROUNDING * torch.randn_like(tensor)
    torch.save({"state_dict": weights}, target)


def compare(folder: Path, input_type: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Train in four ways; return the losses of each step, and of each validation."""
    work = options.work / folder.name
    data, videos = link_videos(folder, options.videos, work, 2 * options.size)
    losses: dict[str, list[float]] = {}
    clips: list[dict[str, Any]] = []
    for name in ("nvidia", "native", "plain", "rounding"):
        own = work / f"{name}_{input_type}"
        shutil.rmtree(own, ignore_errors=True)  # neither resumes
        own.mkdir(parents=True)
        spec = spec_of(data, videos, own, input_type, options)
        if name == "rounding":
            round_weights(work / f"native_{input_type}/start.pth", own / "start.pth")
        else:
            make_start(spec, len(data.classes), 0, own / "start.pth")
        if name == "nvidia":
            record = train_nvidia(options.nvidia, spec)
            losses[name], clips = record["losses"], record["clips"]
        else:
            plain = patch.object(Conv3d, "forward", nn.Conv3d.forward)
            with plain if name == "plain" else nullcontext():
                losses[name] = train_native(spec, clips)
        losses[f"{name}_val"] = figures(own / "train", "val_loss")
    (work / f"losses_{input_type}.json").write_text(json.dumps(losses, indent=1))
    return losses


def difference(one: list[float], other: list[float]) -> np.ndarray:
    """Return the relative differences of two curves."""
    assert len(one) == len(other)
    return np.abs(np.array(other) / np.array(one) - 1)


def main() -> None:
    """Parse the command line, train and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path, nargs="+", metavar="SET")
    parser.add_argument("--nvidia", required=True, metavar="COMMAND")
    parser.add_argument("--videos", type=int, default=8, help="of each class")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4, help="clips of a step")
    parser.add_argument("--size", type=int, default=64, help="of the network's input, in pixels")
    parser.add_argument("--rate", type=float, default=0.001)
    parser.add_argument("--work", type=Path, default=Path("same_losses"))
    options = parser.parse_args()
    options.work = options.work.resolve()
    columns = ["set", "network", "steps", *(f"{way}, {part}" for way in WAYS for part in PARTS)]
    print(f"| {' | '.join(columns)} |")
    print("|" + " --- |" * len(columns))
    for folder in options.sets:
        for input_type in NETWORKS:
            losses = compare(folder, input_type, options)
            cells = [folder.name, input_type, str(len(losses["nvidia"]))]
            for name, other in WAYS.items():
                steps = difference(losses[other], losses[name])
                cells += [f"{steps[part].max():.1e}" for part in PARTS.values()]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
