"""Features and class-activation maps of all kinds of networks, and explanations.json."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from actionrec.dataset import split_table
from actionrec.experiments.explanations import Explained, explain
from actionrec.experiments.predictions import Prediction, write_predictions
from actionrec.native import explain as native
from actionrec.native import networks
from actionrec.native.checkpoints import lightning
from actionrec.native.data.datasets import ClipSelection, EvalDataset
from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.videos import list_labelled_videos
from actionrec.spec.load import make_spec
from actionrec.utils.tables import write_table
from helpers.engine import LABELS, draw_tree, fill

pytestmark = pytest.mark.usefixtures("on_a_cpu")

SIZE = {"input_width": 64, "input_height": 64}
SHORT = {"rgb_seq_length": 2, "of_seq_length": 8, **SIZE}
I3D = {"backbone": "i3d", "rgb_seq_length": 9, "input_width": 193, "input_height": 193}
KINDS = {  # the model section, and the shapes of the maps
    "2d": (SHORT, {"rgb": (1, 2, 2)}),
    "3d": ({"input_type": "3d", **SHORT, "rgb_seq_length": 8}, {"rgb": (2, 2, 2)}),
    "flow": ({"input_type": "3d", "model_type": "of", **SHORT}, {"of": (2, 2, 2)}),
    "joint": (
        {"input_type": "3d", "model_type": "joint", **SHORT},
        {"rgb": (1, 2, 2), "of": (2, 2, 2)},
    ),
    "i3d": ({"input_type": "3d", **I3D}, {"rgb": (2, 7, 7)}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_for_each_stream_over_time_and_space(moving, kind):
    model, shapes = KINDS[kind]
    spec = make_spec({"model": model, "dataset": {"label_map": LABELS}}, "test")
    network = networks.build(spec.model, len(LABELS)).eval()
    fill(network)
    videos = list_labelled_videos(moving / "val", LABELS, "test", spec.model.model_type)[:2]
    dataset = EvalDataset(videos, spec, FrameMemory(2**26), ClipSelection())
    found = native.class_activation(network, dataset, 0, 1, spec)
    assert {stream: heat.shape for stream, heat in found.items()} == shapes
    assert all(0 <= heat.min() <= heat.max() <= 1 for heat in found.values())
    assert list(dataset.frame_ids(0)) == list(shapes)


def test_the_map_is_where_the_class_is_decided():
    maps = torch.zeros(1, 3, 4, 4)
    maps[..., 0, 3] = 5
    heat = native._activation(maps, torch.full_like(maps, 0.1))
    assert heat.shape == (1, 4, 4)
    assert np.unravel_index(heat.argmax(), heat.shape) == (0, 0, 3)
    assert heat.max() == 1
    assert native._activation(maps, torch.full_like(maps, -0.1)).max() == 0


def test_a_video_is_nearest_to_itself():
    features = torch.nn.functional.normalize(torch.randn(5, 8))
    similarities, indices = native.nearest(features, features, 2)
    assert indices[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert similarities[:, 0].tolist() == pytest.approx([1] * 5)


@pytest.fixture
def explained(tmp_path):
    """Return what explanations of four test videos are made from, all but one of them wrong."""
    rows, predictions = [], []
    for part, videos in (("train", 2), ("test", 2)):
        draw_tree(tmp_path / "data" / part, videos)
    (tmp_path / "data/inference").mkdir()
    for part in ("train", "test"):
        for video in sorted((tmp_path / "data" / part).glob("*/*")):
            label = video.parent.name
            rows.append((part, label, video.name, 8, "png", "0", ""))
            if part == "test":
                link = tmp_path / "data/inference" / f"{label}.{video.name}"
                link.symlink_to(video)
                score = 0.6 + 0.1 * len(predictions)
                predictions.append(Prediction(video.name, label, "ride", score))
    write_table(tmp_path / "split.tsv", split_table.COLUMNS, rows)
    write_predictions(tmp_path / "predictions.csv", predictions)
    spec = {"model.rgb_seq_length": 2, "model.input_width": 32, "model.input_height": 32}
    values = {"model": {k.removeprefix("model."): v for k, v in spec.items()}}
    network = networks.build(make_spec(values, "test").model, 2)
    state = {lightning.PREFIX + name: value for name, value in network.state_dict().items()}
    lightning.save(tmp_path / "model.pth", {"state_dict": state})
    return Explained(
        spec=spec,
        labels=list(LABELS),
        split=tmp_path / "split.tsv",
        data=tmp_path / "data",
        predictions=tmp_path / "predictions.csv",
        model=tmp_path / "model.pth",
    )


def test_explanations_name_frames_neighbours_and_maps_the_surest_mistake_first(explained, tmp_path):
    explain(explained, tmp_path / "explanations.json")
    videos = json.loads((tmp_path / "explanations.json").read_text())["videos"]
    assert [(v["kind"], v["label"], v["prediction"]) for v in videos] == [
        ("mistake", "fall", "ride"),
        ("mistake", "fall", "ride"),
        ("unsure", "ride", "ride"),
        ("unsure", "ride", "ride"),
    ]
    assert videos[0]["top"][0][1] > videos[1]["top"][0][1]
    assert videos[0]["frames"] == {"rgb": [2, 6]}
    assert {n["label"] for n in videos[0]["nearest"]} <= set(LABELS)
    assert all(n["video"].startswith("train_") for n in videos[0]["nearest"])
    assert "activation" in videos[0]
    assert "activation" not in videos[2]


def test_without_the_engine_the_frames_are_named_alone(explained, tmp_path):
    explain(replace(explained, model=None), tmp_path / "explanations.json")
    videos = json.loads((tmp_path / "explanations.json").read_text())["videos"]
    assert videos[0]["frames"] == {"rgb": [2, 6]}
    assert "nearest" not in videos[0]
