"""Results of experiments as the workflow leaves them, made up: for the report's tests and times."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from actionrec.dataset import split_table
from actionrec.experiments.explanations import select
from actionrec.experiments.predictions import Prediction, write_predictions
from actionrec.experiments.tasks import HISTORY
from actionrec.native import metrics
from actionrec.utils.tables import write_csv, write_table

FRAMES, SIDE = 4, (64, 48)  # of a video


def make_results(
    folder: Path,
    experiments: Mapping[str, float],
    labels: Sequence[str],
    *,
    splits: Sequence[int] = (1,),
    test_videos: int = 10,
    prefix: str = "",
) -> Path:
    """Write the results of experiments that are right with the given probability; return `folder`.

    It is results/<dataset>; each class has `test_videos` test videos and as many for training, with
    `prefix` in front of their names. The answers depend on the experiment's name alone.
    """
    frames = folder / "frames"
    for split in splits:
        for experiment, share in experiments.items():
            run = folder / "experiments" / experiment / f"split{split}"
            _make_run(run, labels, share, test_videos, prefix, frames)
            settings = {"classes": list(labels), "spec.train.optim.lr": share}
            text = yaml.safe_dump(settings)
            (run.parent / "settings.yaml").write_text(text, encoding="utf-8")
    counts = {"videos": 2 * test_videos, "frames": 2 * test_videos * FRAMES, "bad": 0}
    dataset = {"classes": dict.fromkeys(labels, counts), "splits": {}}
    (folder / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    return folder


def _make_run(run, labels, share, test_videos, prefix, frames) -> None:
    rng = random.Random(str(run.name) + run.parent.name)
    rows, predictions = [], []
    for label in labels:
        for part in ("test", "train"):
            for number in range(test_videos):
                video = f"{prefix}{part}_{number}"
                rows.append((part, label, video, FRAMES, "png", "0", ""))
                if part == "test":
                    predictions.append(_predict(rng, label, video, labels, share))
    write_table(run / "split.tsv", split_table.COLUMNS, rows)
    write_predictions(run / "predictions.csv", predictions)
    ids = {label: number for number, label in enumerate(labels)}
    pairs = [(ids[p.label], ids[p.prediction]) for p in predictions]
    scores = metrics.metrics_of_videos(metrics.confusion_matrix(pairs, len(ids)), labels)
    (run / "metrics.json").write_text(json.dumps(scores), encoding="utf-8")
    choice = {"val_acc": 50.0, "epoch": 3, "epochs": 4, "engine": "native"}
    (run / "model.json").write_text(json.dumps(choice), encoding="utf-8")
    history = [
        {"epoch": e, "train_loss": 2 / (e + 1), "val_acc": 20.0 * e, "seconds": 60, "lr": 0.1}
        for e in range(4)
    ]
    write_csv(run / "history.csv", HISTORY, history)
    videos = [_explained(run, kind, p, frames) for kind, p in select(predictions)]
    content = json.dumps({"videos": videos})
    (run / "explanations.json").write_text(content, encoding="utf-8")


def _predict(rng, label, video, labels, share) -> Prediction:
    others = [other for other in labels if other != label]
    score = round(rng.uniform(0.4, 1), 6)
    rest = round((1 - score) / 2, 6)
    if rng.random() < share:
        return Prediction(video, label, label, score, 1, others[0], rest)
    return Prediction(video, label, rng.choice(others), score, 2, label, rest)


def _explained(run, kind, p, frames) -> dict:
    """Return the entry of a video; its frames, and those of its neighbour, are drawn."""
    neighbour = p.video.replace("test_", "train_")
    for part, video in (("test", p.video), ("train", neighbour)):
        link = run / "data" / part / p.label / video / "rgb"
        if not link.exists():
            link.mkdir(parents=True)
            for number in range(FRAMES):
                image = np.full((SIDE[1], SIDE[0], 3), 40 * number, np.uint8)
                Image.fromarray(image).save(link / f"{number + 1:06d}.png")
    return {
        "kind": kind,
        "video": p.video,
        "label": p.label,
        "prediction": p.prediction,
        "top": p.top,
        "frames": {"rgb": list(range(FRAMES))},
        "clips": 1,
        "resized": list(SIDE),
        "input": [48, 48],
        "nearest": [{"video": neighbour, "label": p.label, "similarity": 0.9}],
        "activation": {"rgb": [[[0, 255], [128, 0]]]},
    }
