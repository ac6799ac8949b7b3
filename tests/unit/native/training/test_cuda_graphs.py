"""Training steps as CUDA graphs: the same training as without, whatever comes between."""

import pytest
import torch

from actionrec.native import train as training_task
from actionrec.native.__main__ import main
from actionrec.native.checkpoints import lightning
from actionrec.native.data.prefetch import prefetch_to_device
from actionrec.native.status import StatusLog
from actionrec.native.training import steps
from actionrec.native.training.cuda_graphs import WARM_UP, Recorded
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
    training = training_task._prepare(load_spec(spec), spec, StatusLog(folder / "s"), folder)
    return training, list(prefetch_to_device(training.clips, training.device))


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
    """The graphs hold the exchange of gradients, and the processes part at the end."""
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


def test_a_graph_is_recorded_for_each_shape_of_a_batch(drawn, tmp_path):
    training, batches = prepared(write(tmp_path, drawn))
    assert isinstance(training.propagate, Recorded)
    for _ in range(WARM_UP + 1):
        for batch in (batches[0], batches[-1]):
            steps.take(training, batch)
    assert len(batches[0]) != len(batches[-1])
    assert len(training.propagate._recordings) == 2


def test_a_graph_too_large_for_the_memory_is_done_without(drawn, tmp_path, caplog):
    training, batches = prepared(write(tmp_path, drawn))
    work = training.propagate._work

    def greedy(batch):
        if torch.cuda.is_current_stream_capturing():
            torch.empty(2**45, dtype=torch.uint8, device="cuda")
        work(batch)

    training.propagate._work = greedy
    before = training.totals[2].item()
    for _ in range(WARM_UP + 2):
        steps.take(training, batches[0])
    assert "goes on without" in caplog.text
    assert training.totals[2].item() - before == (WARM_UP + 2) * len(batches[0])
    assert all(parameter.grad.isfinite().all() for parameter in training.network.parameters())


def test_mixup_is_not_recorded(drawn, tmp_path):
    training, _ = prepared(write(tmp_path, drawn, **{"native.mixup_alpha": 0.4}))
    assert not isinstance(training.propagate, Recorded)
