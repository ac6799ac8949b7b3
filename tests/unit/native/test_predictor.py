"""Videos scored by several cores of a CPU at the same time."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from actionrec.errors import InputError
from actionrec.native import batch_size, networks, predictor
from actionrec.native.data import image_io
from actionrec.native.data.datasets import ClipSelection
from actionrec.native.data.videos import list_labelled_videos
from actionrec.spec.load import make_spec
from helpers.engine import LABELS, draw_tree, draw_video, environment, fill

pytestmark = pytest.mark.usefixtures("on_a_cpu")

KEY = "evaluate.test_dataset_dir"
SPEC = {
    "model": {
        "input_type": "3d",
        "input_width": 32,
        "input_height": 32,
        "rgb_seq_length": 2,
        "sample_strategy": "consecutive",
    },
    "dataset": {"label_map": LABELS},
}
INTERRUPTED = """
import os, sys, time
from pathlib import Path
import torch
from actionrec.spec.load import make_spec
from actionrec.native import batch_size, predictor
from actionrec.native.data.datasets import ClipSelection
from actionrec.native.data.videos import list_labelled_videos

class Slow(torch.nn.Module):
    def forward(self, clips):
        if len(clips) > 1:  # not the clip that measures the network
            os.write(1, b"scored\\n")  # in one piece, also if threads write at the same time
            time.sleep(0.1)
        return torch.zeros(len(clips), 2)

batch_size.MAX_BATCH_SIZE = 2
torch.set_num_threads(2)
spec = make_spec({spec}, "test")
videos = list_labelled_videos(Path(sys.argv[1]), spec.dataset.label_map, "test") * 100
predictor.score_videos(Slow(), videos, spec, ClipSelection(), gpu_ids=[0])
"""


@pytest.fixture
def spec():
    return make_spec(SPEC, "test")


@pytest.fixture
def network(spec):
    network = networks.build(spec.model, len(LABELS))
    fill(network)
    return network


def scores(network, videos, spec, cores: int, monkeypatch, most: int = 4, **selection) -> list:
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    monkeypatch.setattr(batch_size, "MAX_BATCH_SIZE", most)
    clips = ClipSelection(**selection)
    return predictor.score_videos(network, videos, spec, clips, gpu_ids=[0])


@pytest.mark.parametrize(
    "selection", [{"mode": "center"}, {"mode": "conv", "segments": 10}, {"mode": "all"}]
)
def test_scores_do_not_depend_on_the_number_of_cores(
    selection, network, spec, tmp_path, monkeypatch
):
    draw_tree(tmp_path, videos=4)
    draw_video(tmp_path / "ride" / "longer", 1, frames=13)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    expected = [
        scores(network, [video], spec, 1, monkeypatch, 1, **selection)[0] for video in videos
    ]
    assert any(
        (expected[0] != each).any() for each in expected[1:] if each.shape == expected[0].shape
    )
    for cores in (1, 3, 40):
        found = scores(network, videos, spec, cores, monkeypatch, **selection)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def recorded_reads(monkeypatch, seconds: float = 0.0) -> list[Path]:
    """Return a list of the images that are read from now on, each that much slower."""
    read: list[Path] = []
    decode = image_io.read_image

    def recording(path, *how):
        read.append(path)
        time.sleep(seconds)
        return decode(path, *how)

    monkeypatch.setattr(image_io, "read_image", recording)
    return read


def test_each_frame_is_read_once_by_all_cores_together(network, spec, tmp_path, monkeypatch):
    read = recorded_reads(monkeypatch)
    draw_tree(tmp_path, videos=4)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    scores(network, videos, spec, 3, monkeypatch, mode="conv", segments=10)
    assert len(read) == len(set(read)) == 8 * 8


def test_a_damaged_frame_ends_the_work_of_all_cores(network, spec, tmp_path, monkeypatch):
    read = recorded_reads(monkeypatch, seconds=0.02)
    draw_tree(tmp_path, videos=30, frames=2)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    damaged = videos[0].folder / "rgb" / videos[0].frames[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(InputError, match=damaged.name):
        scores(network, videos, spec, 2, monkeypatch, most=1)
    assert 0 < len(read) < 60


def test_an_interrupt_ends_the_work_of_all_cores(tmp_path):
    draw_tree(tmp_path, videos=2, frames=2)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.replace("{spec}", repr(SPEC)), str(tmp_path)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate()
    assert first == "scored\n"
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert rest.count("scored") < 20  # of 200
