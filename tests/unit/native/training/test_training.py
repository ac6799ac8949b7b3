"""Training: learns, repeats itself, survives kill -9, and leaves what TAO leaves."""

import fcntl
import json
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from PIL import Image

from actionrec.native import networks
from actionrec.native.__main__ import main
from actionrec.native.checkpoints import lightning
from actionrec.spec.load import load_spec
from helpers.engine import (
    GOLDEN,
    command,
    curve,
    draw_tree,
    environment,
    fill,
    golden_frame,
    read_golden,
    run,
    statuses,
    write_spec,
)


def train(spec, *overrides) -> int:
    return main(["train", "-e", str(spec), *overrides])


def results(spec):
    return spec.parent / "results" / "train"


def copy_of(trained, folder, drawn, **changes):
    """Return the trained run's spec with another results folder."""
    return write_spec(folder / "spec.yaml", drawn, folder / "results", **changes)


def test_a_training_learns_and_writes_taos_files(trained):
    folder = results(trained)
    losses = [loss for _, loss, _ in curve(folder)]
    assert len(losses) == 3
    assert losses[-1] < 0.4 < losses[0]
    assert [line["kpi"]["val_acc"] for line in statuses(folder) if "eta" in line][-1] == 1.0
    assert sorted(path.name for path in folder.glob("*.pth")) == [
        "ar_model_latest.pth",
        "model_epoch_000_step_00006.pth",
        "model_epoch_001_step_00012.pth",
        "model_epoch_002_step_00018.pth",
    ]
    assert str((folder / "ar_model_latest.pth").readlink()) == "model_epoch_002_step_00018.pth"
    stdout = (trained.parent / "train.stdout").read_text().splitlines()
    assert stdout[:2] == ["Train dataset samples: 48", "Validation dataset samples: 8"]
    assert stdout[2].startswith("epoch 1/3  lr 0.002  train_loss ")
    assert "clip/s" in (trained.parent / "train.stderr").read_text()


def test_status_lines_are_taos(trained):
    golden = [json.loads(line) for line in (GOLDEN / "status/train.json").read_text().splitlines()]
    lines = statuses(results(trained))
    shape = [
        (list(line), line["status"], line["message"], list(line.get("kpi", {}))) for line in golden
    ]
    found = [
        (list(line), line["status"], line["message"], list(line.get("kpi", {}))) for line in lines
    ]
    start, epoch, end = shape[:2], shape[2:5], shape[8:]
    assert found == start + 3 * epoch + end
    assert [
        (line["epoch"], line["step"], line["max_epoch"], line["max_step"])
        for line in lines
        if "eta" in line
    ] == [(0, 6, 2, 18), (1, 12, 2, 18), (2, 18, 2, 18)]


def test_the_checkpoint_has_lightnings_format(trained):
    path = results(trained) / "ar_model_latest.pth"
    checkpoint = torch.load(path, weights_only=True)
    assert list(checkpoint)[:8] == [
        "epoch",
        "global_step",
        "pytorch-lightning_version",
        "state_dict",
        "loops",
        "callbacks",
        "optimizer_states",
        "lr_schedulers",
    ]
    assert (checkpoint["epoch"], checkpoint["global_step"]) == (2, 18)
    names = read_golden("state_dicts.json")["rgb_2d_r18_seq3"]["sd"]
    assert list(checkpoint["state_dict"]) == list(names)
    (optimizer,) = checkpoint["optimizer_states"]
    assert len(optimizer["state"]) == len(optimizer["param_groups"][0]["params"]) == 62
    assert checkpoint["lr_schedulers"][0]["last_epoch"] == 3
    batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert batches["current"] == {"ready": 6, "completed": 6, "started": 6, "processed": 6}
    assert batches["total"]["ready"] == 18


def test_a_training_imports_neither_pytorchs_compiler_nor_its_exporter(trained):
    imported = (trained.parent / "train.stderr").read_text()
    assert "torch.optim" in imported
    assert "torch._dynamo" not in imported  # takes 1.7 s
    assert "torch.onnx" not in imported


def test_the_same_seed_gives_the_same_curve_and_another_does_not(trained, drawn, tmp_path):
    again = copy_of(trained, tmp_path / "again", drawn)
    assert train(again, "train.num_epochs=2", "dataset.workers=2") == 0
    assert curve(results(again)) == curve(results(trained))[:2]
    other = copy_of(trained, tmp_path / "other", drawn)
    assert train(other, "train.num_epochs=1", "train.seed=7") == 0
    assert curve(results(other))[0] != curve(results(trained))[0]


def test_a_killed_training_resumes_as_if_it_had_not_been_killed(trained, drawn, tmp_path):
    spec = copy_of(trained, tmp_path, drawn)
    folder = results(spec)
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            command("train", spec), env=environment(), stdout=log, stderr=log
        ) as process,
    ):
        while not (folder / "model_epoch_001_step_00012.pth").exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    half = folder / ".model_epoch_002_step_00018.pth.x1y2" / "model_epoch_002_step_00018.pth"
    half.parent.mkdir()
    half.write_bytes(b"what a kill during the writing of a checkpoint leaves")
    assert train(spec) == 0
    assert curve(folder) == curve(results(trained))
    assert any("Resuming training from checkpoint" in line["message"] for line in statuses(folder))
    assert not [path for path in folder.iterdir() if path.name.startswith(".model")]


def nvidias(folder, input_type, **changes):
    """Return the spec of the golden curves' training, from their drawn videos and weights."""
    videos = folder / "videos"
    for label, name in enumerate("ab"):
        for number in range(4):
            rgb = videos / name / f"{name}{number}" / "rgb"
            rgb.mkdir(parents=True)
            for index in range(3):
                frame = golden_frame(10 * number + 5 * label + index, 64, 48)
                Image.fromarray(frame).save(rgb / f"{index + 1:06d}.png")
    values = {
        "model.input_type": input_type,
        "model.rgb_seq_length": 3,
        "model.sample_strategy": "random_interval",
        "model.dropout_ratio": 0.0,
        "model.rgb_pretrained_model_path": str(folder / "start.pth"),
        "model.rgb_pretrained_num_classes": 0,
        "dataset.train_dataset_dir": str(videos),
        "dataset.val_dataset_dir": str(videos),
        "dataset.label_map": {"a": 0, "b": 1},
        "dataset.clips_per_video": 1,
        "dataset.augmentation_config.horizontal_flip_prob": 0.0,
        "train.optim.weight_decay": 0.001,
        **changes,
    }
    spec = write_spec(folder / "spec.yaml", folder, folder / "results", **values)
    network = networks.build(load_spec(spec).model, 2)
    fill(network)
    torch.save({"state_dict": network.state_dict(prefix="model.")}, folder / "start.pth")
    return spec


@pytest.mark.usefixtures("on_a_cpu")
@pytest.mark.parametrize("input_type", ["2d", "3d"])
def test_losses_are_those_of_nvidias_code(input_type, tmp_path):
    """From equal weights and clips, with clipping and a step of the rate, over four epochs."""
    changes = {
        "train.num_epochs": 4,
        "train.clip_grad_norm": 1.0,
        "train.checkpoint_interval": 4,
        "train.optim.lr": 0.01,
        "train.optim.lr_steps": [3],
    }
    spec = nvidias(tmp_path, input_type, **changes)
    assert train(spec) == 0
    found = [losses for _, *losses in curve(results(spec))]
    np.testing.assert_allclose(found, read_golden("curves.json")[input_type], rtol=1e-3)


@pytest.mark.usefixtures("on_a_cpu")
@pytest.mark.parametrize("case", read_golden("curves.json")["autoreduce"])
def test_losses_and_best_checkpoints_are_nvidias_when_the_rate_follows_a_metric(case, tmp_path):
    keeper = {f"train.checkpointer.{key}": value for key, value in case["checkpointer"].items()}
    changes = {
        "train.num_epochs": 5,
        "train.clip_grad_norm": 0.5,
        "train.checkpoint_interval": 5,
        "train.checkpointer.enable_topk": bool(keeper),
        "train.checkpointer.dirpath": str(tmp_path / "kept"),
        **keeper,
        "train.optim.lr": case["lr"],
        "train.optim.lr_scheduler": "AutoReduce",
        "train.optim.lr_monitor": case["lr_monitor"],
        "train.optim.patience": 0,
        "train.optim.lr_decay": 0.5,
        "train.optim.min_lr": 0.001,
    }
    spec = nvidias(tmp_path, case["input_type"], **changes)
    assert train(spec) == 0
    found = np.array([losses for _, *losses in curve(results(spec))])
    wanted = np.array(case["losses"])
    kept = sorted(path.name for path in (tmp_path / "kept").glob("*.pth"))
    if case["lr"] <= 0.01:  # a wrong rate would change the losses by a hundred times as much
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=5e-5)
        assert kept == case["kept"]
    else:
        # A large rate amplifies how processors round, to 7 % of the validation loss. A wrong rate
        # would change it by 18 %.
        np.testing.assert_allclose(found[:, 1], wanted[:, 1], rtol=0.12)
        assert [name[:12] for name in kept] == [name[:12] for name in case["kept"]]
    latest = results(spec) / "ar_model_latest.pth"
    assert str(latest.readlink()) == "model_epoch_004_step_00005.pth"


@pytest.mark.parametrize("step", [4, 6])  # within an epoch, and after its last step
def test_a_training_resumes_exactly_from_a_step(step, trained, drawn, tmp_path):
    spec = copy_of(trained, tmp_path, drawn)
    by_step = ["train.checkpoint_interval_unit=step", f"train.checkpoint_interval={step}"]
    by_step += ["train.num_epochs=2"]
    assert train(spec, *by_step) == 0
    expected = curve(results(spec))
    assert expected == curve(results(trained))[:2]
    lightning.link_latest(results(spec) / lightning.checkpoint_name(0, step))
    (results(spec) / "status.json").unlink()
    assert train(spec, *by_step) == 0
    assert curve(results(spec)) == expected


def test_a_finished_training_changes_nothing_when_it_is_run_again(trained):
    before = {path.name: path.stat().st_mtime_ns for path in results(trained).glob("model_*")}
    lines = len(statuses(results(trained)))
    text = (results(trained) / "status.json").read_text()
    assert train(trained) == 0
    assert {
        path.name: path.stat().st_mtime_ns for path in results(trained).glob("model_*")
    } == before
    assert statuses(results(trained))[-1]["message"] == "Train finished successfully."
    assert len(statuses(results(trained))) > lines
    (results(trained) / "status.json").write_text(text)


def test_a_training_does_not_resume_with_another_spec(trained, capsys):
    text = (results(trained) / "status.json").read_text()
    assert train(trained, "train.optim.lr=0.02") == 1
    assert "train.optim.lr: 0.002 is now 0.02" in capsys.readouterr().err
    assert statuses(results(trained))[-1]["status"] == "FAILURE"
    (results(trained) / "status.json").write_text(text)


def test_two_trainings_cannot_share_a_folder(drawn, tmp_path):
    spec = write_spec(tmp_path / "spec.yaml", drawn, tmp_path / "results")
    folder = results(spec)
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        done = run("train", spec)
    assert done.returncode == 1
    assert "Another training is writing" in done.stderr
    assert not list(folder.glob("*.pth"))


def test_the_best_checkpoints_are_kept(trained, drawn, tmp_path):
    spec = copy_of(trained, tmp_path, drawn)
    keep = ["train.checkpointer.enable_topk=true", "train.checkpointer.replace_periodic=true"]
    assert train(spec, *keep) == 0
    rows = curve(results(trained))
    best = min(rows, key=lambda row: row[2])[0]
    assert sorted(path.name for path in results(spec).glob("*.pth")) == [
        "ar_model_latest.pth",
        f"model_best_{best:03d}.pth",
    ]
    assert str((results(spec) / "ar_model_latest.pth").readlink()) == f"model_best_{best:03d}.pth"


def rate_of(spec) -> float:
    checkpoint = torch.load(results(spec) / "ar_model_latest.pth", weights_only=True)
    return checkpoint["optimizer_states"][0]["param_groups"][0]["lr"]


def test_the_rate_falls_at_the_steps(drawn, tmp_path):
    spec = write_spec(tmp_path / "spec.yaml", drawn, tmp_path / "results")
    assert train(spec, "train.num_epochs=2", "train.optim.lr_steps=[1]") == 0
    assert rate_of(spec) == pytest.approx(0.0002)


def test_the_rate_falls_when_the_monitored_loss_does_not(drawn, tmp_path):
    spec = write_spec(tmp_path / "spec.yaml", drawn, tmp_path / "results")
    options = ["lr_scheduler=AutoReduce", "patience=0", "min_lr=0", "lr_decay=0.5", "lr=1e-5"]
    assert train(spec, *(f"train.optim.{option}" for option in options)) == 0
    rate, best = 1e-5, float("inf")
    for _, _, loss in curve(results(spec)):
        if loss < best * (1 - 1e-4):
            best = loss
        else:
            rate *= 0.5
    assert rate < 1e-5  # all that changes is what batch normalisation has seen: the loss rises
    assert rate_of(spec) == pytest.approx(rate)


def test_a_loss_that_is_not_finite_ends_the_training(drawn, tmp_path, capsys):
    spec = write_spec(tmp_path / "spec.yaml", drawn, tmp_path / "results")
    assert train(spec, "train.optim.lr=4e9", "train.num_epochs=3") == 1
    assert "lower the learning rate" in capsys.readouterr().err
    last = statuses(results(spec))[-1]
    assert last["status"] == "FAILURE"
    assert last["message"].startswith("Parameter validation error: The loss is nan")


def test_fine_tuning_starts_from_the_weights_of_another_training(trained, drawn, tmp_path):
    draw_tree(tmp_path / "data" / "train", 4, labels=["fall", "ride", "walk"])
    spec = write_spec(
        tmp_path / "spec.yaml",
        tmp_path / "data",
        tmp_path / "results",
        **{
            "dataset.val_dataset_dir": None,
            "dataset.label_map": {"fall": 0, "ride": 1, "walk": 2},
            "model.rgb_pretrained_model_path": str(results(trained) / "ar_model_latest.pth"),
            "model.rgb_pretrained_num_classes": 2,
            "train.num_epochs": 1,
        },
    )
    assert train(spec) == 0
    (line,) = (line for line in statuses(results(spec)) if "eta" in line)
    assert "kpi" not in line  # without validation there are no figures yet
    assert lightning.num_classes_of(results(spec) / "ar_model_latest.pth") == 3
    origin = json.loads((results(spec) / "pretrained.json").read_text())["rgb"]
    assert origin["family"] == "TAO"
    assert origin["changes"] == {"new": ["the classifier"]}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.batch_size=49"], "Dataset size (8) is smaller than the total batch size (49)"),
        (["dataset.val_dataset_dir=null", "dataset.batch_size=49"], "Not enough data for train."),
        (["dataset.train_dataset_dir=nowhere"], "does not exist"),
        (["dataset.label_map=null"], "dataset.label_map"),
        (["model.backbone=i3d"], "takes clips, not stacked frames"),
        (["model.model_type=joint"], "no u folder"),
        (["model.rgb_pretrained_model_path=none.pth"], "checkpoint does not exist"),
        (["train.checkpointer.enable_topk=true", "dataset.val_dataset_dir=null"], "val_loss"),
        (["train.optim.lr_scheduler=AutoReduce", "dataset.val_dataset_dir=null"], "lr_monitor"),
        (["train.resume_training_checkpoint_path=none.pth"], "checkpoint does not exist"),
    ],
)
def test_bad_input_is_refused_before_the_first_step(overrides, message, drawn, tmp_path, capsys):
    spec = write_spec(tmp_path / "spec.yaml", drawn, tmp_path / "results")
    assert train(spec, *overrides) == 1
    assert message in capsys.readouterr().err
    lines = statuses(results(spec))
    assert lines[-1]["status"] == "FAILURE"
    assert "Starting Training Loop." not in [line["message"] for line in lines]
    assert not list(results(spec).glob("*.pth"))
