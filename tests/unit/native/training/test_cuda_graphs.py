"""Training steps as CUDA graphs: the same training as without, also if it resumes."""

import pytest
import torch

from actionrec.native.__main__ import main
from actionrec.native.checkpoints import lightning
from actionrec.native.data.prefetch import prefetch_to_device
from actionrec.native.status import StatusLog
from actionrec.native.training.cuda_graphs import WARMUP_BATCHES, GraphedForwardBackward
from actionrec.native.training.setup import build_train_state
from actionrec.native.training.steps import train_step
from actionrec.spec.load import load_spec
from helpers.engine import curve, run, write_spec

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SETTINGS = {
    "as TAO": {},
    "fp16": {"native.precision": "fp16", "native.channels_last": True},
    "clipped": {"train.clip_grad_norm": 1.0, "native.ema_decay": 0.9},
}  # in 2d: PyTorch's backward of 3D pooling adds up in another order each time


def write(folder, drawn, **changes):
    # Batches of 8 and, at each epoch's end, of 4: graphs of two shapes.
    return write_spec(
        folder / "spec.yaml",
        drawn,
        folder / "results",
        **{"dataset.clips_per_video": 5, "dataset.workers": 2, **changes},
    )


def train(spec, *overrides):
    assert main(["train", "-e", str(spec), *overrides]) == 0
    folder = spec.parent / "results/train"
    checkpoint = torch.load(folder / lightning.LATEST, weights_only=True)
    return curve(folder), lightning.network_state_dict(checkpoint)


def prepared(spec):
    """Return a training that has not begun, and its first epoch's batches on the GPU."""
    folder = spec.parent
    state = build_train_state(load_spec(spec), spec, StatusLog(folder / "s"), folder)
    return state, list(prefetch_to_device(state.train_loader, state.device))


@pytest.mark.parametrize("name", SETTINGS)
def test_losses_and_weights_are_those_of_kernels_launched_one_by_one(name, drawn, tmp_path):
    changes = SETTINGS[name]
    curves, weights = {}, {}
    for way in ("true", "again", "false"):
        spec = write(tmp_path / way, drawn, **changes, **{"native.cuda_graphs": way != "false"})
        curves[way], weights[way] = train(spec)
    assert curves["true"] == curves["again"] == curves["false"]
    for key, value in weights["true"].items():
        assert torch.equal(value, weights["again"][key])
        assert torch.equal(value, weights["false"][key])


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_losses_of_two_gpus_are_those_of_kernels_launched_one_by_one(drawn, tmp_path):
    """The graphs hold the all-reduce of gradients, and the process group ends without waiting."""
    curves = {}
    for way in ("true", "false"):
        changes = {"dataset.batch_size": 4, "dataset.clips_per_video": 40, "train.num_gpus": 2}
        spec = write(tmp_path / way, drawn, **changes)
        done = run("train", spec, f"native.cuda_graphs={way}")
        assert done.returncode == 0, done.stderr
        curves[way] = curve(tmp_path / way / "results/train")
    assert curves["true"] == curves["false"]


def test_a_resumed_training_ends_as_one_that_was_not_interrupted(drawn, tmp_path):
    spec = write(tmp_path, drawn)
    by_step = ["train.checkpoint_interval_unit=step", "train.checkpoint_interval=6"]
    expected, weights = train(spec, *by_step)
    lightning.link_latest(tmp_path / "results/train" / lightning.checkpoint_name(0, 6))
    (tmp_path / "results/train/status.json").unlink()
    again, those = train(spec, *by_step)
    assert again == expected
    assert all(torch.equal(value, those[key]) for key, value in weights.items())


def test_a_graph_is_captured_for_each_shape_of_a_batch(drawn, tmp_path):
    state, batches = prepared(write(tmp_path, drawn))
    assert isinstance(state.forward_backward, GraphedForwardBackward)
    for _ in range(WARMUP_BATCHES + 1):
        for batch in (batches[0], batches[-1]):
            train_step(state, batch)
    assert len(batches[0]) != len(batches[-1])
    assert len(state.forward_backward._graphs) == 2


def test_training_continues_without_graphs_that_are_too_large_for_the_memory(
    drawn, tmp_path, caplog
):
    state, batches = prepared(write(tmp_path, drawn))
    forward_backward = state.forward_backward._forward_backward

    def greedy(batch):
        if torch.cuda.is_current_stream_capturing():
            torch.empty(2**45, dtype=torch.uint8, device="cuda")
        forward_backward(batch)

    state.forward_backward._forward_backward = greedy
    before = state.totals[2].item()
    for _ in range(WARMUP_BATCHES + 2):
        train_step(state, batches[0])
    assert "training without them" in caplog.text
    assert state.totals[2].item() - before == (WARMUP_BATCHES + 2) * len(batches[0])
    assert all(parameter.grad.isfinite().all() for parameter in state.network.parameters())


def test_mixup_is_not_captured(drawn, tmp_path):
    state, _ = prepared(write(tmp_path, drawn, **{"native.mixup_alpha": 0.4}))
    assert not isinstance(state.forward_backward, GraphedForwardBackward)
