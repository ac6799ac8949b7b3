"""Predict videos with `actionrec predict`'s code, next to the loop that one would write by hand.

The peer decodes with OpenCV, resizes with Pillow, and runs PyTorch eagerly, one clip at a time, on
all cores. Both see the same frames of the same videos; their scores are compared.

python benchmarks/predict.py RUN VIDEOS: RUN is an experiment's folder of a split, VIDEOS a folder.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from actionrec.deploy.model_card import ModelCard
from actionrec.deploy.predict import predict_long, predict_videos
from actionrec.deploy.reading import clip_ids
from actionrec.deploy.session import Model
from actionrec.deploy.timeline import Windows
from actionrec.frames.videos import is_video
from actionrec.native.checkpoints import lightning
from actionrec.spec.load import load_spec


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


def main() -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--long", type=Path, help="a long video: its real-time factor")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    model = Model(options.run / "export")
    spec = load_spec(options.run / "specs/inference.yaml")
    network = lightning.load_network(spec, str(options.run / "model.pth"), "model.pth").eval()
    paths = sorted(path for path in options.videos.iterdir() if is_video(path.name))
    ways = {
        "by hand": lambda: [by_hand(model.card, network, path) for path in paths],
        "actionrec predict": lambda: [p.scores for p in predict_videos(model, paths, whole=True)],
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(options.repeat):
        labels = {}
        for name, way in ways.items():  # in turn, so that other load of the machine meets both
            started = time.perf_counter()
            labels[name] = [int(scores.argmax()) for scores in way()]
            best[name] = min(best[name], time.perf_counter() - started)
        if labels["by hand"] != labels["actionrec predict"]:
            raise SystemExit("the two ways do not find the same labels")
    for name, seconds in best.items():
        print(f"{name}: {len(paths) / seconds:.1f} videos/s")
    print(f"faster: {best['by hand'] / best['actionrec predict']:.2f} times")
    if options.long:
        started = time.perf_counter()
        found = predict_long(model, options.long, Windows.of_card(model.card, None, 1.0))
        seconds = found.segments[-1].end
        print(f"real-time factor: {seconds / (time.perf_counter() - started):.1f}")


if __name__ == "__main__":
    main()
