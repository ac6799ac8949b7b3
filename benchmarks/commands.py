"""Measure how long the four commands take on next to nothing, which is their start-up.

Train, evaluate, inference and export of a ResNet18-3D, on four videos of 12 frames: wall time with
all that they do. With --tao the same of NVIDIA's command, which takes over the spec as it is.

    python benchmarks/commands.py --tao action_recognition
"""

import argparse
import tempfile
from pathlib import Path

import yaml
from throughput import LABELS, OURS, draw_set, seconds_of_task

FRAMES, VIDEOS = 12, 4


def write_spec(path: Path, data: Path) -> Path:
    """Write one spec for all four."""
    model = path.parent / "train" / "ar_model_latest.pth"
    spec = {
        "results_dir": str(path.parent),
        "model": {
            "model_type": "rgb",
            "input_type": "3d",
            "backbone": "resnet_18",
            "rgb_seq_length": 3,
        },
        "dataset": {
            "train_dataset_dir": str(data),
            "label_map": LABELS,
            "batch_size": 2,
            "workers": 2,
        },
        "train": {"num_epochs": 1, "checkpoint_interval": 1},
        "evaluate": {"checkpoint": str(model), "test_dataset_dir": str(data)},
        "inference": {
            "checkpoint": str(model),
            "inference_dataset_dir": str(data / next(iter(LABELS))),
        },
        "export": {"checkpoint": str(model), "onnx_file": str(path.parent / "model.onnx")},
    }
    path.write_text(yaml.safe_dump(spec))
    return path


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tao", help="NVIDIA's action_recognition command")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    ways = {"the engine": OURS}
    if options.tao:
        ways["TAO"] = [options.tao]
    tasks = ("train", "evaluate", "inference", "export")
    print(f"| way | {', s | '.join(tasks)}, s | together, s |\n|{' --- |' * (len(tasks) + 2)}")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        draw_set(data, VIDEOS, FRAMES)
        for way, command in ways.items():
            for repeat in range(options.repeats if way == "the engine" else 1):
                (own := Path(folder) / f"{way}{repeat}").mkdir()
                spec = write_spec(own / "spec.yaml", data)
                spent = [seconds_of_task(command, task, spec) for task in tasks]
                cells = " | ".join(f"{each:.1f}" for each in [*spent, sum(spent)])
                print(f"| {way} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
