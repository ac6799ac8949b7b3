"""Measure training clips a second on GPUs, against NVIDIA's own TAO on the same frames.

Ways, all with ResNet18-3D at 224x224 on frames of 320x240 read from PNG files:

- TAO: `action_recognition train` of nvidia-tao-pytorch, if --tao names that command;
- the engine, as TAO computes (float32 with TF32 convolutions): the same spec;
- the engine in fp16 with channels last;
- the ceiling of each: the same training steps on one batch that stays on the GPU.

Each training is a process of its own, without validation. The first epoch, in which frames are
decoded, is stated apart. With --frame-store the engine keeps frames on a disk, or nowhere, as for a
dataset that does not fit into memory; with --forms its frames are other images, or stay in videos.

    python benchmarks/throughput.py --tao action_recognition
    python benchmarks/throughput.py --tao action_recognition --only-tao   # other forms of frames
    python benchmarks/throughput.py --gpus 1 2 --clips 64                  # clips of both together
    python benchmarks/throughput.py --frame-store memory disk none
    python benchmarks/throughput.py --frames 3 --clips 1 --videos 800 --forms PNG MPEG-4 H.264
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import yaml

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))

from frame_store import extract, to_h264  # noqa: E402
from frames import draw_videos  # noqa: E402

from actionrec.frames.encoders import ImageFormat, make_encoder, resize  # noqa: E402
from actionrec.spec.load import load_spec  # noqa: E402

OURS = [sys.executable, "-m", "actionrec.native"]
LABELS = {"across": 0, "down": 1}
PNG = "PNG"
FORMS = {
    PNG: ImageFormat("png", "cv2", 95),
    "JPEG 95": ImageFormat("jpg", "cv2", 95),
    "JPEG 95 at 224x224": ImageFormat("jpg", "cv2", 95, size=(224, 224)),
}
VIDEOS = ("MPEG-4", "H.264")  # frames that stay in their videos
PARTS = 16  # in which these are made, side by side
FAST = {
    "native": {"precision": "fp16", "channels_last": True},
    "train": {"cudnn": {"benchmark": True, "deterministic": False}},
}
CASES = {3: (32, 16), 32: (16, 4)}  # frames a clip: batch size, clips a video
FRAME_STORES = {"memory": "", "disk": ", frames on disk", "none": ", frames decoded each time"}


def draw_video(folder: Path, label: str, seed: int, frames: int, image_format: ImageFormat) -> None:
    """Write frames with the texture of real ones: blurred noise that moves, and grain."""
    cv2.setNumThreads(1)
    encode = make_encoder(image_format)
    random = np.random.default_rng(seed)
    scene = cv2.GaussianBlur(random.integers(0, 256, (420, 520, 3), np.uint8), (0, 0), 2)
    scene = cv2.normalize(scene, None, 10, 245, cv2.NORM_MINMAX)
    folder.mkdir(parents=True)
    for number in range(frames):
        left, top = (2 * number % 200, 0) if label == "across" else (0, 2 * number % 180)
        grain = random.integers(0, 9, (240, 320, 3), np.uint8)
        view = scene[top : top + 240, left : left + 320] + grain
        path = folder / f"{number + 1:06d}.{image_format.suffix}"
        path.write_bytes(encode(resize(view, image_format.size)))


def draw_set(root: Path, videos: int, frames: int, image_format: ImageFormat = FORMS[PNG]) -> None:
    """Write a training set of two classes with all cores."""
    with ProcessPoolExecutor() as pool:
        jobs = []
        for number in range(videos):
            label = list(LABELS)[number % 2]
            folder = root / label / f"{number:04d}" / "rgb"
            jobs.append(pool.submit(draw_video, folder, label, number, frames, image_format))
    for job in jobs:
        job.result()


def draw_data(root: Path, videos: int, frames: int, form: str) -> None:
    """Make a set of two classes whose frames are images of a form, or stay in their videos."""
    if form in FORMS:
        draw_set(root, videos, frames, FORMS[form])
        return
    shares = [videos // PARTS + (part < videos % PARTS) for part in range(PARTS)]
    with ProcessPoolExecutor() as pool:
        jobs = [
            pool.submit(draw_part, root.parent, part, share, frames, form)
            for part, share in enumerate(shares)
        ]
    for part, job in enumerate(jobs):
        label = root / list(LABELS)[part % 2]
        label.mkdir(parents=True, exist_ok=True)
        for video in job.result().iterdir():
            (label / f"{part}_{video.name}").symlink_to(video)


def draw_part(work: Path, part: int, videos: int, frames: int, form: str) -> Path:
    """Make some videos, and return the folder of what is known of their frames."""
    drawn = work / f"{part}.avi"
    draw_videos(drawn, videos, frames)
    if form == "H.264":
        drawn = to_h264(drawn, work / f"{part}.mp4")
    extract(drawn, work / str(part), "video")
    return work / str(part) / "work" / "walk"


def write_spec(path: Path, data: Path, frames: int, clips: int, epochs: int, extra: dict) -> Path:
    """Write the spec of one training."""
    batch = CASES[frames][0]
    spec = {
        "results_dir": str(path.with_suffix("")),
        "model": {
            "model_type": "rgb",
            "input_type": "3d",
            "backbone": "resnet_18",
            "rgb_seq_length": frames,
        },
        "dataset": {
            "train_dataset_dir": str(data),
            "label_map": LABELS,
            "batch_size": batch,
            "clips_per_video": clips,
            "workers": 8,
        },
        "train": {"num_epochs": epochs, "checkpoint_interval": epochs, **extra.pop("train", {})},
        **extra,
    }
    path.write_text(yaml.safe_dump(spec))
    return path


def seconds_of_epochs(spec: Path) -> list[float]:
    """Return the duration of each epoch from a training's status.json."""
    lines = (spec.with_suffix("") / "train/status.json").read_text().splitlines()
    spent = [json.loads(line).get("time_per_epoch") for line in lines]
    parts = [[float(part) for part in duration.split(":")] for duration in spent if duration]
    return [3600 * h + 60 * m + s for h, m, s in parts]


def environment() -> dict[str, str]:
    """Return the environment in which a new Python finds the engine, whatever is installed."""
    path = os.pathsep.join(filter(None, (str(SCRIPTS), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def frame_store_variables(store: str, folder: Path) -> dict[str, str]:
    """Return the variables by which the engine keeps frames in memory, on disk or nowhere."""
    if store == "memory":
        return {}
    nowhere = {"ACTIONREC_FRAME_MEMORY": "0"}
    return nowhere if store == "none" else nowhere | {"ACTIONREC_FRAME_DISK": str(folder)}


def seconds_of_task(
    command: Sequence[str], task: str, spec: Path, variables: Mapping[str, str] | None = None
) -> float:
    """Run one task of TAO's command or of the engine to its end; return its wall time."""
    start = time.perf_counter()
    done = subprocess.run(
        [*command, task, "-e", str(spec)],
        env=environment() | (variables or {}),
        capture_output=True,
        text=True,
    )
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(
            f"{' '.join(command)} {task} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )
    return wall


def ceiling(spec: Path, batches: int = 60) -> float:
    """Return clips a second of the engine's training steps on a batch that stays on the GPU."""
    import torch

    from actionrec.native.data.prefetch import prefetch_to_device
    from actionrec.native.status import StatusLog
    from actionrec.native.training.setup import build_train_state
    from actionrec.native.training.steps import train_step

    folder = spec.with_suffix("") / "ceiling"
    folder.mkdir(parents=True)
    state = build_train_state(load_spec(spec), spec, StatusLog(folder / "status.json"), folder)
    state.network.train()
    batch = next(iter(prefetch_to_device(state.train_loader, state.device)))
    for number in range(20 + batches):
        if number == 20:
            torch.cuda.synchronize()
            start = time.perf_counter()
        train_step(state, batch)
    torch.cuda.synchronize()
    return batches * len(batch) / (time.perf_counter() - start)


class Table:
    """The rows of one clip length: trainings, and their ceilings."""

    def __init__(self, frames: int, work: Path, options: argparse.Namespace) -> None:
        self.frames, self.work, self.options = frames, work, options
        self.clips_per_video = options.clips or CASES[frames][1]
        self.clips = options.videos * self.clips_per_video
        self.rows: list[dict] = []

    def train(
        self,
        way: str,
        command: Sequence[str],
        data: Path,
        epochs: int,
        repeats: int,
        extra: dict,
        store: str = "memory",
        top: str | None = None,
    ) -> None:
        """Add a row for each of some equal trainings; `top` is the way that is their ceiling."""
        for repeat in range(repeats):
            spec = self._spec(data, epochs, extra)
            wall = seconds_of_task(command, "train", spec, frame_store_variables(store, self.work))
            spent = seconds_of_epochs(spec)
            later = [self.clips / seconds for seconds in spent[1:]]
            self._add(
                way=way,
                top=top,
                repeat=repeat,
                first=self.clips / spent[0],
                later=statistics.median(later),
                least=min(later),
                most=max(later),
                start_s=wall - sum(spent),
            )

    def ceiling(self, way: str, data: Path, extra: dict) -> None:
        """Add the row of training steps on one batch, in a process of its own."""
        spec = self._spec(data, 1, extra)
        done = subprocess.run(
            [sys.executable, __file__, "--ceiling", str(spec)], capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        self._add(way=way, later=float(done.stdout.split()[-1]))

    def _spec(self, data: Path, epochs: int, extra: dict) -> Path:
        path = self.work / f"{self.frames}_{len(self.rows)}.yaml"
        return write_spec(path, data, self.frames, self.clips_per_video, epochs, dict(extra))

    def _add(self, **row) -> None:
        self.rows.append({"frames": self.frames, **row})
        print(json.dumps(self.rows[-1]), flush=True)


def measure(root: Path, table: Table) -> list[dict]:
    """Run all ways on one clip length."""
    options = table.options
    if options.tao:
        for form in FORMS if options.only_tao else (PNG,):
            way = "TAO" if form == PNG else f"TAO, {form}"
            table.train(way, [options.tao], root / form / "data", 1 + options.tao_epochs, 1, {})
    if options.only_tao:
        return table.rows
    for way, extra in (("the engine, TF32 as TAO", {}), ("the engine, fp16", FAST)):
        top = f"ceiling, {way}"
        for gpus, store, form in product(options.gpus, options.frame_store, options.forms):
            name = way + ("" if gpus == 1 else f", {gpus} GPUs") + FRAME_STORES[store]
            name += "" if form == PNG else f", {form}"
            own = {**extra, "train": {**extra.get("train", {}), "num_gpus": gpus}}
            table.train(
                name,
                OURS,
                root / form / "data",
                options.epochs,
                options.repeats,
                own,
                store,
                top if gpus == 1 else None,
            )
        table.ceiling(top, root / options.forms[0] / "data", extra)
    return table.rows


def report(rows: Sequence[dict]) -> None:
    """Print a Markdown table; ratios are against TAO's median and against the ceiling."""
    titles = (
        "frames",
        "way",
        "first epoch",
        "later (min-max)",
        "times TAO",
        "of the ceiling",
        "start, s",
    )
    print(f"| {' | '.join(titles)} |\n|{' --- |' * len(titles)}")
    for row in rows:
        same = [other for other in rows if other["frames"] == row["frames"]]
        peers = [other["later"] for other in same if other["way"] == "TAO"]
        tops = [other["later"] for other in same if other["way"] == row.get("top")]
        times = f"{row['later'] / statistics.median(peers):.1f}" if peers else ""
        share = f"{row['later'] / tops[0]:.0%}" if tops else ""
        spread = f"{row['later']:.0f}" + (
            f" ({row['least']:.0f}-{row['most']:.0f})" if "least" in row else ""
        )
        first = f"{row['first']:.0f}" if "first" in row else ""
        start = f"{row['start_s']:.1f}" if "start_s" in row else ""
        print(
            f"| {row['frames']} | {row['way']} | {first} | {spread} | {times} | {share} | {start} |"
        )


def main() -> None:
    """Parse the command line, measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tao", help="NVIDIA's action_recognition command")
    parser.add_argument("--tao-epochs", type=int, default=2, help="epochs after the first")
    parser.add_argument("--only-tao", action="store_true", help="on all forms of frames")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1])
    parser.add_argument("--frame-store", nargs="+", default=["memory"], choices=list(FRAME_STORES))
    forms = [*FORMS, *VIDEOS]
    parser.add_argument("--forms", nargs="+", choices=forms, default=[PNG], help="for the engine")
    parser.add_argument("--clips", type=int, help="of a video and epoch")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--videos", type=int, default=216)
    parser.add_argument("--video-frames", type=int, default=90)
    parser.add_argument("--frames", type=int, nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--ceiling", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ceiling:
        print(ceiling(options.ceiling))
        return
    with tempfile.TemporaryDirectory() as folder:
        root, work = Path(folder) / "data", Path(folder) / "work"
        work.mkdir()
        tao = FORMS if options.only_tao else {PNG} if options.tao else ()
        for form in dict.fromkeys([*tao, *(() if options.only_tao else options.forms)]):
            draw_data(root / form / "data", options.videos, options.video_frames, form)
        tables = [Table(frames, work, options) for frames in options.frames]
        report([row for table in tables for row in measure(root, table)])


if __name__ == "__main__":
    main()
