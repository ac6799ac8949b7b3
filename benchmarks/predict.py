"""Predict videos with `actionrec predict`'s code, next to the loop that one would write by hand.

The peer decodes with OpenCV, resizes with Pillow, and runs PyTorch eagerly, one clip at a time, on
all cores. Both see the same frames of the same videos; their labels are compared. The network is
ResNet18-3D at 224x224 with random weights.

python benchmarks/predict.py: videos like HMDB51's are drawn. With --videos they are those of a
folder.
"""

import argparse
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from frames import draw_videos
from PIL import Image
from spread import spread

from actionrec.deploy import from_spec
from actionrec.deploy.describe import finish_export, onnx_file
from actionrec.deploy.model_card import Description, ModelCard, write_card
from actionrec.deploy.predict import predict_long, predict_videos
from actionrec.deploy.reading import clip_ids
from actionrec.deploy.session import Model
from actionrec.deploy.timeline import Windows
from actionrec.frames.videos import is_video
from actionrec.native import networks
from actionrec.native.export import example_inputs, write_onnx
from actionrec.spec.load import make_spec

LABELS = ["a", "b", "c", "d", "e"]


def make_model(folder: Path, frames: int) -> tuple[Model, torch.nn.Module]:
    """Export a network with random weights; return it as `actionrec predict` has it, and itself."""
    spec = make_spec({"model": {"input_type": "3d", "rgb_seq_length": frames}}, "benchmark")
    torch.manual_seed(frames)
    network = networks.build(spec.model, len(LABELS)).eval()
    folder.mkdir()
    write_onnx(network, example_inputs(spec.model, 2), folder / "model.onnx")
    described = from_spec.description(spec, LABELS)
    finish_export(folder / "model.onnx", described, add_softmax=False)
    known = Description.model_validate(described)
    card = ModelCard(
        onnx=onnx_file(folder / "model.onnx"),
        inputs=known.inputs,
        resize=known.resize,
        sampling={"strategy": "random_interval", "rate": 1, "span_seconds": 2.0},
        labels=known.labels,
    )
    write_card(folder / "model.json", card)
    return Model(folder), network


def by_hand(card: ModelCard, network: torch.nn.Module, path: Path) -> np.ndarray:
    """Return the scores of a video by the plain loop."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = capture.read()
        if not there:
            break
        frames.append(frame)
    (part,) = card.inputs
    size = (card.resize.width, card.resize.height)
    (ids,) = clip_ids(card, len(frames))[0]
    images = [
        Image.fromarray(frames[i][..., ::-1]).resize(size, Image.Resampling.BILINEAR) for i in ids
    ]
    clip = torch.from_numpy(np.stack([np.asarray(image) for image in images])).float() / 255
    mean, std = torch.tensor(part.mean), torch.tensor(part.std)
    clip = ((clip - mean) / std).permute(3, 0, 1, 2).reshape(1, *part.shape)
    with torch.inference_mode():
        return network(clip).softmax(dim=1)[0].numpy()


def draw_long(path: Path, seconds: int) -> None:
    """Write a video of 640x360 at 30 frames a second: noise that moves slowly."""
    scene = np.random.default_rng(0).integers(0, 256, (46, 160, 3), np.uint8)
    scene = cv2.resize(scene, (1280, 368), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for index in range(30 * seconds):
            left = abs(index % 1200 - 600)
            image = np.ascontiguousarray(scene[:360, left : left + 640])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))


def compare(model: Model, network: torch.nn.Module, paths: list[Path], repeats: int) -> None:
    """Print the videos per second of both ways."""
    ways = {
        "by hand": lambda: [by_hand(model.card, network, path) for path in paths],
        "actionrec predict": lambda: [p.scores for p in predict_videos(model, paths, whole=True)],
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    costs: dict[str, list[float]] = {name: [] for name in ways}  # CPU seconds of all cores
    for _ in range(repeats):
        labels = {}
        for name, way in ways.items():  # in turn, so that other load of the machine meets both
            started, used = time.perf_counter(), time.process_time()
            labels[name] = [int(scores.argmax()) for scores in way()]
            costs[name].append((time.process_time() - used) / len(paths))
            speeds[name].append(len(paths) / (time.perf_counter() - started))
        if labels["by hand"] != labels["actionrec predict"]:
            raise SystemExit("the two ways do not find the same labels")
    for name, found in speeds.items():
        cost = spread(costs[name])
        print(f"  {name}: {spread(found)} videos/s, {cost} CPU seconds a video", flush=True)
    times = [new / old for old, new in zip(*speeds.values(), strict=True)]
    print(f"  times as fast: {spread(times)}", flush=True)


def main() -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=Path, help="a folder, in place of drawn videos")
    parser.add_argument("--frames", type=int, nargs="+", default=[3, 32])
    parser.add_argument("--count", type=int, default=48, help="of drawn videos")
    parser.add_argument("--seconds", type=int, default=30, help="of the long video")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not options.videos:
            draw_videos(folder / "videos", options.count, 95)
        videos = options.videos or folder / "videos"
        paths = sorted(path for path in videos.rglob("*") if is_video(path.name))
        draw_long(folder / "long.mp4", options.seconds)
        for frames in options.frames:
            print(f"{frames} frames a clip, {len(paths)} videos", flush=True)
            model, network = make_model(folder / str(frames), frames)
            compare(model, network, paths, options.repeats)
            factors = []
            for _ in range(options.repeats):
                started = time.perf_counter()
                predict_long(model, folder / "long.mp4", Windows.of_card(model.card, None, 1.0))
                factors.append(options.seconds / (time.perf_counter() - started))
            print(f"  real-time factor: {spread(factors)}", flush=True)


if __name__ == "__main__":
    main()
