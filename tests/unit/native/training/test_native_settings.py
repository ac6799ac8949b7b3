"""Trainings with the settings that TAO does not have: what each does, and that all resume."""

import math
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from actionrec.native import predictor
from actionrec.native.__main__ import main
from actionrec.native.checkpoints import lightning
from actionrec.native.data import transforms
from actionrec.native.data.batch import Batch
from actionrec.native.data.datasets import ClipSelection
from actionrec.native.data.frame_cache import FrameCache
from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.prefetch import prefetch_to_device
from actionrec.native.data.videos import list_labelled_videos
from actionrec.native.status import StatusLog
from actionrec.native.training.setup import build_train_state
from actionrec.native.training.steps import train_step
from actionrec.spec.load import load_spec
from helpers.engine import command, curve, environment, statuses, write_spec

ALL_SETTINGS = [
    "native.ema_decay=0.8",
    "native.label_smoothing=0.1",
    "native.mixup_alpha=0.4",
    "native.class_balanced=true",
    "native.lr_schedule=cosine",
    "native.warmup_epochs=0.5",
    "native.early_stopping.patience=2",
    "native.channels_last=true",
    "native.lr_factors.stem=0.1",
    "train.clip_grad_norm=1.0",
]


def train(spec, *overrides) -> int:
    return main(["train", "-e", str(spec), *overrides])


def results(spec):
    return spec.parent / "results" / "train"


def latest(spec) -> dict:
    return torch.load(results(spec) / "ar_model_latest.pth", weights_only=True)


@pytest.fixture
def spec(drawn, tmp_path):
    """Return the spec of a training of two epochs of six steps."""
    return write_spec(
        tmp_path / "spec.yaml", drawn, tmp_path / "results", **{"train.num_epochs": 2}
    )


def test_the_moving_average_is_validated_and_published_and_the_weights_are_kept(spec):
    assert train(spec, "native.ema_decay=0.8") == 0
    checkpoint = latest(spec)
    published = lightning.network_state_dict(checkpoint)
    kept = checkpoint["actionrec"]["weights"]
    assert list(published) == list(kept)
    assert not torch.equal(published["conv1.weight"], kept["conv1.weight"])
    settings = load_spec(spec)
    network = lightning.load_network(settings, str(results(spec) / "ar_model_latest.pth"), "")
    root = Path(settings.dataset.val_dataset_dir)
    videos = list_labelled_videos(root, settings.dataset.label_map, "")
    scores = predictor.score_videos(network, videos, settings, ClipSelection(), gpu_ids=[0])
    loss = -np.mean([math.log(s[0, v.label]) for s, v in zip(scores, videos, strict=True)])
    assert curve(results(spec))[-1][2] == pytest.approx(loss, rel=1e-4)


def test_a_checkpoint_of_another_schedule_is_refused(spec, capsys):
    assert train(spec, "train.num_epochs=1") == 0
    start = results(spec) / "ar_model_latest.pth"
    other = [f"results_dir={spec.parent / 'other'}", "native.lr_schedule=cosine"]
    assert train(spec, *other, f"train.resume_training_checkpoint_path={start}") == 1
    assert "another schedule" in capsys.readouterr().err


def test_class_balanced_training_sees_every_class_equally_often(tmp_path, drawn):
    (tmp_path / "train" / "ride").mkdir(parents=True)
    (tmp_path / "train" / "fall").symlink_to(drawn / "train" / "fall")
    one = sorted((drawn / "train" / "ride").iterdir())[0]
    (tmp_path / "train" / "ride" / one.name).symlink_to(one)
    where = write_spec(tmp_path / "spec.yaml", tmp_path, tmp_path / "results")
    found = {}
    for name in ("false", "true"):
        settings = load_spec(
            where, [f"native.class_balanced={name}", "dataset.val_dataset_dir=null"]
        )
        state = build_train_state(settings, where, StatusLog(tmp_path / "s"), tmp_path)
        labels = torch.cat([batch.labels for batch in state.train_loader])
        found[name] = labels.bincount().tolist()
    assert found == {"false": [24, 4], "true": [14, 14]}


def test_a_training_that_gets_no_better_ends_with_a_checkpoint(spec, capsys):
    options = ["train.num_epochs=9", "train.checkpoint_interval=4", "train.optim.lr=0"]
    options += ["native.early_stopping.patience=1", "native.early_stopping.monitor=val_acc_1"]
    assert train(spec, *options) == 0
    assert "Stopped after 2 of 9 epochs: val_acc_1 was best" in capsys.readouterr().out
    assert latest(spec)["epoch"] == 1
    rows = curve(results(spec))
    assert [epoch for epoch, _, _ in rows] == [0, 1]
    assert train(spec, *options) == 0
    assert curve(results(spec)) == rows
    assert statuses(results(spec))[-1]["message"] == "Train finished successfully."


@pytest.mark.parametrize(
    "schedule",
    [
        ["native.lr_schedule=cosine", "native.warmup_epochs=1"],
        ["train.optim.lr_steps=[1,3]"],
        ["train.optim.lr_scheduler=AutoReduce", "train.optim.patience=0"],
    ],
    ids=["cosine", "MultiStep", "AutoReduce"],
)
def test_a_training_stopped_by_stop_after_resumes_as_if_it_had_not_stopped(schedule, spec):
    options = ["train.num_epochs=4", "native.ema_decay=0.5", *schedule]
    assert train(spec, *options, "native.stop_after=2") == 0
    assert latest(spec)["epoch"] == 1
    assert statuses(results(spec))[-1]["message"] == "Train finished successfully."
    assert train(spec, *options) == 0
    stopped, rows = latest(spec), curve(results(spec))
    shutil.rmtree(results(spec))
    assert train(spec, *options) == 0
    assert rows == curve(results(spec))
    assert [epoch for epoch, _, _ in rows] == [0, 1, 2, 3]
    for name, value in latest(spec)["state_dict"].items():
        assert torch.equal(value, stopped["state_dict"][name])


def test_early_stopping_needs_its_metric(spec, capsys):
    options = ["native.early_stopping.patience=1", "dataset.val_dataset_dir=null"]
    assert train(spec, *options) == 1
    assert "native.early_stopping.monitor" in capsys.readouterr().err


# A CPU computes halves slowly: eight pixels are enough.
TINY = ["model.input_width=8", "model.input_height=8", "model.rgb_seq_length=1"]
TINY += ["dataset.clips_per_video=1", "dataset.val_dataset_dir=null"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_half_precision_gives_nearly_the_same_loss_and_saves_float32(name, spec):
    losses = {}
    for own in ("tao", name):
        folder = spec.parent / own / "train"
        # A GPU drops other values in halves than in float32.
        options = [*TINY, "dataset.batch_size=12", "train.num_epochs=1", "model.dropout_ratio=0"]
        options += [f"train.results_dir={folder}", f"native.precision={own}"]
        assert train(spec, *options) == 0
        ((_, losses[own], _),) = curve(folder)
        checkpoint = torch.load(folder / "ar_model_latest.pth", weights_only=True)
        weights = lightning.network_state_dict(checkpoint).values()
        assert {value.dtype for value in weights} == {torch.float32, torch.int64}
        assert bool(checkpoint["actionrec"]["scaler"]) == (own == "fp16")
    assert losses[name] != losses["tao"]
    assert losses[name] == pytest.approx(losses["tao"], rel=0.02)


@pytest.mark.parametrize("name", ["tao", pytest.param("fp16", marks=pytest.mark.slow)])
def test_with_all_settings_a_training_resumes_exactly_from_a_step(name, spec):
    options = [*ALL_SETTINGS, f"native.precision={name}"]
    options += [
        "dataset.clips_per_video=2",
        "dataset.batch_size=8",
        "native.early_stopping.monitor=train_loss",
    ]
    options += [] if name == "tao" else [*TINY, "dataset.batch_size=4"]
    options += ["train.checkpoint_interval_unit=step", "train.checkpoint_interval=2"]
    assert train(spec, *options) == 0
    expected, whole = curve(results(spec)), latest(spec)
    assert len(expected) == 2
    lightning.link_latest(results(spec) / lightning.checkpoint_name(0, 2))
    (results(spec) / "status.json").unlink()
    assert train(spec, *options) == 0
    assert curve(results(spec)) == expected
    again = latest(spec)
    assert whole["global_step"] == again["global_step"] == 6
    for key, value in lightning.network_state_dict(whole).items():
        assert torch.equal(lightning.network_state_dict(again)[key], value)
        kept = (run["actionrec"]["weights"][key] for run in (whole, again))
        assert torch.equal(*kept)
    for key in ("scaler", "record"):
        assert again["actionrec"][key] == whole["actionrec"][key]


def test_with_all_settings_a_killed_training_resumes_exactly(drawn, tmp_path):
    specs_of = {}
    for name in ("whole", "killed"):
        changes = {option.partition("=")[0]: option.partition("=")[2] for option in ALL_SETTINGS}
        folder = tmp_path / name
        specs_of[name] = write_spec(
            folder / "spec.yaml", drawn, folder / "results", **changes, **{"train.num_epochs": 3}
        )
    assert train(specs_of["whole"]) == 0
    spec = specs_of["killed"]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            command("train", spec), env=environment(), stdout=log, stderr=log
        ) as process,
    ):
        while not (results(spec) / "model_epoch_000_step_00006.pth").exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert train(spec) == 0
    assert curve(results(spec)) == curve(results(specs_of["whole"]))


@pytest.mark.parametrize(
    "change",
    ["native.ema_decay=0.9", "native.lr_schedule=cosine", "native.precision=bf16"],
)
def test_a_training_does_not_resume_with_other_settings(change, trained, tmp_path, capsys):
    text = (results(trained) / "status.json").read_text()
    assert train(trained, change) == 1
    assert change.replace("=", ": ").partition(":")[0] in capsys.readouterr().err
    (results(trained) / "status.json").write_text(text)


@pytest.mark.usefixtures("on_a_cpu")
@pytest.mark.parametrize(
    ("options", "clips"),
    [
        (["native.test_segments=3"], [[1, 2], [3, 4], [5, 6]]),
        (
            ["{task}.video_{mode}_mode=conv", "{task}.video_num_segments=2"],
            [[1, 2], [5, 6]],
        ),
        (["{task}.video_{mode}_mode=all"], [[0, 1], [2, 3], [4, 5], [6, 7]]),
    ],
)
def test_the_probabilities_of_a_video_are_the_mean_over_its_clips(
    options, clips, trained, drawn, tmp_path
):
    settings = load_spec(trained)
    path = (
        results(trained) / "model_epoch_000_step_00006.pth"
    )  # whose probabilities are not yet near 0 and 1
    network = lightning.load_network(settings, str(path), "").eval()
    videos = list_labelled_videos(drawn / "val", settings.dataset.label_map, "")
    size = (settings.model.input_width, settings.model.input_height)
    reader = FrameCache(videos, "rgb", [size] * len(videos), FrameMemory(0))
    by_video, by_clip = [], []
    means = {}
    for number, video in enumerate(videos):
        rgb = torch.from_numpy(np.stack([reader.read(number, np.array(ids)) for ids in clips]))
        none = torch.zeros(len(clips), dtype=torch.int64)
        batch = Batch({"rgb": rgb}, none, none.bool(), none)
        with torch.no_grad():
            scores = network(transforms.normalise(batch, settings)).softmax(dim=1)
        means[video.folder.name] = scores.mean(dim=0)
        by_video.append(int(scores.mean(dim=0).argmax()) == video.label)
        by_clip += (scores.argmax(dim=1) == video.label).tolist()
    for task, mode in (("evaluate", "eval"), ("inference", "inf")):
        own = [option.format(task=task, mode=mode) for option in options]
        own += [f"results_dir={tmp_path}", f"{task}.checkpoint={path}"]
        assert main([task, "-e", str(trained), *own]) == 0
    kpi = statuses(tmp_path / "evaluate")[-1]["kpi"]
    assert kpi["accuracy"] == round(100 * np.mean(by_video), 3)
    assert kpi["clip_accuracy"] == round(100 * np.mean(by_clip), 3)
    rows = (tmp_path / "inference" / "predictions.csv").read_text().splitlines()[1:]
    assert len(rows) == 4
    for row in rows:
        name, _, fall, ride = row.split(",")
        np.testing.assert_allclose([float(fall), float(ride)], means[name], atol=2e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["tao", "tf32", "bf16", "fp16"])
def test_a_step_never_waits_for_the_gpu(name, spec):
    settings = load_spec(spec, [*ALL_SETTINGS, f"native.precision={name}"])
    folder = spec.parent
    state = build_train_state(settings, spec, StatusLog(folder / "s"), folder)
    batches = list(prefetch_to_device(state.train_loader, state.device))
    for number, batch in enumerate(batches):
        if number == 2:
            torch.cuda.set_sync_debug_mode("error")
        try:
            train_step(state, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert state.totals[2] == 48
