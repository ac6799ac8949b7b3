"""TensorBoard events with TAO's tags, one curve over a resumed training; Weights & Biases."""

import logging
import sys
from types import SimpleNamespace

import pytest
import torch

from actionrec.native.training import tracking
from actionrec.spec.load import make_spec

EPOCH = {"lr": 0.1, "train_loss": 2.0, "train_acc_1": 0.5, "val_loss": 1.0, "val_acc_1": 0.25}


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    """Hide an account of Weights & Biases that the user of this machine may have."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)


def make_state(folder, step=0, batch_idx=0, epoch=0):
    """Return what trackers see of a training."""
    return SimpleNamespace(
        folder=folder,
        global_step=step,
        batch_idx=batch_idx,
        epoch=epoch,
        totals=torch.zeros(3, dtype=torch.float64),
        spec=make_spec({"encryption_key": "secret"}, "test"),
    )


def run_steps(state, tracked, until):
    """Train up to a step, 60 steps an epoch, each with a loss that is its number."""
    while state.global_step < until:
        state.global_step, state.batch_idx = state.global_step + 1, state.batch_idx + 1
        state.totals += torch.tensor([8.0 * state.global_step, 4, 8])
        tracked.after_step(state)
        if state.batch_idx == 60:
            tracked.after_epoch(state, EPOCH)
            state.epoch, state.batch_idx = state.epoch + 1, 0
            state.totals.zero_()


def read_events(folder):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulators.EventAccumulator(str(folder))
    found.Reload()
    tags = found.Tags()["scalars"]
    return {tag: {event.step: event.value for event in found.Scalars(tag)} for tag in tags}, {
        tag: len(found.Scalars(tag)) for tag in tags
    }


def test_tensorboard_has_taos_tags_where_tao_writes_them(tmp_path):
    state = make_state(tmp_path)
    tracked = tracking.start_tracking(state)
    run_steps(state, tracked, 120)
    tracked.close()
    assert [folder.name for folder in (tmp_path / "lightning_logs").iterdir()] == ["version_0"]
    events, _ = read_events(tmp_path / "lightning_logs/version_0")
    assert events["train_loss_step"] == {50: 25.5, 100: 80.5}, "means over the steps since the last"
    assert events["train_acc_1_step"] == {50: 0.5, 100: 0.5}
    assert events["train_loss_epoch"] == {60: 2.0, 120: 2.0}
    assert events["val_acc_1"] == {60: 0.25, 120: 0.25}
    assert events["lr-SGD"][60] == pytest.approx(0.1)
    assert set(events) == {
        "train_loss_step",
        "train_acc_1_step",
        "train_loss_epoch",
        "train_acc_1_epoch",
        "val_loss",
        "val_acc_1",
        "lr-SGD",
        "epoch",
    }


@pytest.mark.parametrize(("killed_at", "step", "batch_idx"), [(110, 60, 0), (115, 100, 40)])
def test_a_resumed_training_has_one_curve_without_doubles(tmp_path, killed_at, step, batch_idx):
    state = make_state(tmp_path)
    tracked = tracking.start_tracking(state)
    run_steps(state, tracked, killed_at)
    resumed = make_state(tmp_path, step, batch_idx, epoch=1)
    tracked = tracking.start_tracking(resumed)
    run_steps(resumed, tracked, 180)
    tracked.close()
    assert len(list((tmp_path / "lightning_logs").iterdir())) == 1
    events, numbers = read_events(tmp_path / "lightning_logs/version_0")
    assert list(events["val_loss"]) == [60, 120, 180]
    assert numbers["val_loss"] == 3
    assert numbers["train_loss_step"] == len(events["train_loss_step"])


def test_figures_of_a_killed_training_are_on_the_disk(tmp_path):
    state = make_state(tmp_path)
    tracked = tracking.start_tracking(state)
    run_steps(state, tracked, 60)  # nothing is closed, as after a kill
    events, _ = read_events(tmp_path / "lightning_logs/version_0")
    assert (events["train_loss_step"], events["val_loss"]) == ({50: 25.5}, {60: 1.0})


def test_a_new_training_has_a_folder_of_its_own(tmp_path):
    for _ in range(2):
        state = make_state(tmp_path)
        tracked = tracking.start_tracking(state)
        run_steps(state, tracked, 60)
        tracked.close()
    names = sorted(folder.name for folder in (tmp_path / "lightning_logs").iterdir())
    assert names == ["version_0", "version_1"]


def test_other_ranks_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking.launch, "rank", lambda: 1)
    assert tracking.start_tracking(make_state(tmp_path)).trackers == []


def test_a_tracker_that_fails_ends_no_training(tmp_path, caplog):
    class Broken:
        def write(self, figures, step):
            raise OSError("no space left on device")

    tracked = tracking.Tracking([Broken()])
    tracked.after_epoch(make_state(tmp_path), EPOCH)
    tracked.after_epoch(make_state(tmp_path), EPOCH)
    assert [record.message for record in caplog.records] == [
        "Broken is given up: no space left on device"
    ]


class FakeWandb:
    """What the tests see of the package."""

    def __init__(self):
        self.starts, self.logged, self.finished = [], [], 0

    def init(self, **arguments):
        self.starts.append(arguments)
        return self

    def log(self, figures, step):
        self.logged.append((step, figures))

    def finish(self):
        self.finished += 1


def test_wandb_continues_its_run_and_sees_no_key(tmp_path, monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_API_KEY", "x")
    for step in (0, 60):
        state = make_state(tmp_path, step)
        tracked = tracking.start_tracking(state)
        tracked.after_epoch(state, EPOCH)
        tracked.close()
    first, second = fake.starts
    assert first["id"] == second["id"]
    assert (first["project"], first["entity"]) == ("TAO Toolkit", None)
    assert first["dir"] == str(tmp_path)
    assert "secret" not in str(first["config"])
    assert [step for step, _ in fake.logged] == [0, 60]
    assert fake.logged[0][1]["val_acc_1"] == 0.25
    assert fake.finished == 2


def test_wandb_is_silent_without_a_key_and_warns_without_the_package(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it was not installed
    assert len(tracking.start_tracking(make_state(tmp_path)).trackers) == 1
    assert caplog.records == []
    monkeypatch.setenv("WANDB_API_KEY", "x")
    with caplog.at_level(logging.WARNING):
        assert len(tracking.start_tracking(make_state(tmp_path)).trackers) == 1
    assert "Nothing is reported to Weights & Biases" in caplog.text


def test_the_real_package_works_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the package wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    state = make_state(tmp_path)
    tracked = tracking.start_tracking(state)
    assert len(tracked.trackers) == 2
    tracked.after_epoch(state, EPOCH)
    tracked.close()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
