"""Tasks: a stand-in for TAO's command that keeps its contract, or breaks it as TAO is known to."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from actionrec.dataset import link_tree, split_table
from actionrec.errors import InputError
from actionrec.experiments import tasks
from actionrec.experiments.predictions import read_predictions
from actionrec.experiments.successive_halving import Trial
from actionrec.utils.files import write_text
from actionrec.utils.tables import write_table

# What TAO leaves behind and prints (tests/data/golden), in a few lines; HOW says how it behaves.
STAND_IN = r"""
import json, os, pathlib, sys
task, run, how = sys.argv[1], pathlib.Path(sys.argv[3]).parents[1], os.environ.get("HOW", "")
folder = run / (pathlib.Path(sys.argv[3]).stem if task == "train" else task)
folder.mkdir(exist_ok=True)
with (run / "calls").open("a") as calls:
    print(folder.name, "resumed" if list(folder.glob("*_latest.pth")) else "fresh", file=calls)

def status(message, **more):
    with (folder / "status.json").open("a") as file:
        print(json.dumps({"status": "RUNNING", "message": message, **more}), file=file)

def checkpoint(name):
    (folder / name).write_text(name)
    latest = folder / "ar_model_latest.pth"
    latest.unlink(missing_ok=True)
    latest.symlink_to(name)

status(f"Starting Action Recognition {task}.", )
if how == "exit 0 on failure":
    checkpoint("model_epoch_000_step_00000.pth")
    print("RuntimeError: CUDA error")
    sys.exit(0)
if how == "failure line":
    status("Parameter validation error: bad lr", status="FAILURE")
    sys.exit(1)
if task == "train":
    for epoch, accuracy in enumerate((0.5, 0.9, 0.9)):
        kpi = {"val_loss": 1.0 - epoch / 10, "val_acc": accuracy}
        checkpoint(f"model_epoch_{epoch:03d}_step_{epoch + 1:05d}.pth")
        status("Training loop in progress", epoch=epoch, step=9, time_per_epoch="0:00:01", kpi=kpi)
        status("Train metrics generated.", kpi={"train_loss": 1.0, "train_acc": accuracy})
        if how == "killed":
            os.kill(os.getpid(), 9)
if task == "inference":
    videos = sorted((run / "data/inference").iterdir())
    lines = [f"{video} : ['walk']" for video in videos[how == "one short":]]
    sys.stdout.write("100%|##| 2/2 [00:01, 1.93it/s]" + "\r".join(lines) + "\n")
if task == "evaluate":
    status("Test metrics generated.", kpi={"accuracy": 50.0, "m_accuracy": 50.0})
more = {"kpi": {"accuracy": 50.0, "m_accuracy": 50.0}} if task == "evaluate" else {}
status(f"{task.capitalize()} finished successfully.", **more)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return an experiment's folder with a split of one test video for each of two classes."""
    program = tmp_path / "bin/action_recognition"
    write_text(program, f"#!{sys.executable}\n{STAND_IN}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    frames, folder = tmp_path / "frames", tmp_path / "results/exp/split1"
    rows = []
    for cls in ("walk", "run"):
        for part in ("train", "test"):
            rgb = frames / cls / f"{part} (1)" / "rgb"
            rgb.mkdir(parents=True)
            (rgb / "000001.png").touch()
            rows.append((part, cls, f"{part} (1)", 1, "png", f"{cls}{part}", ""))
    write_table(folder / "split.tsv", split_table.COLUMNS, rows)
    link_tree.link_split(folder / "split.tsv", frames, folder / "data", "symlink")
    for task in ("train", "evaluate", "inference"):
        write_text(folder / f"specs/{task}.yaml", "train: {optim: {lr: 0.1}}\n")
    return folder


@pytest.fixture
def engine(tmp_path):
    return tasks.Execution("direct", "direct 7.3.0", 1, tmp_path / "job.log")


def train(run, engine, select="best", spec="train", trial=None):
    outputs = {"model": run / "model.pth", "choice": run / "model.json"}
    for path in outputs.values():
        path.unlink(missing_ok=True)  # as Snakemake does before a job
    training = tasks.Training(
        spec=run / f"specs/{spec}.yaml",
        split=run / "split.tsv",
        pretrained=(),
        **outputs,
        history=run / "history.csv",
        select=select,
        experiment="exp",
        trial=trial,
    )
    tasks.train(training, engine)


def calls(run: Path) -> list[str]:
    return (run / "calls").read_text().splitlines()


def test_a_training_ends_in_its_best_checkpoint_and_keeps_the_last(run, engine):
    train(run, engine)
    assert (run / "model.pth").read_text() == "model_epoch_002_step_00003.pth"
    assert json.loads((run / "model.json").read_text())["val_acc"] == 90.0
    assert len((run / "history.csv").read_text().splitlines()) == 4
    assert [path.name for path in (run / "train").glob("model_*.pth")] == [
        "model_epoch_002_step_00003.pth"
    ]


def test_a_whole_training_is_kept_when_nothing_changed(run, engine):
    train(run, engine)
    train(run, engine, select="last")
    assert calls(run) == ["train fresh"]


def try_out(run, engine, kept="yes") -> Trial:
    """Train the trial of the experiment; return its files, with a ranking that keeps it or not."""
    write_text(run / "specs/trial.yaml", "train: {optim: {lr: 0.1}}\nnative: {stop_after: 2}\n")
    train(run, engine, spec="trial")
    files = [run / name for name in ("trial.pth", "trial.json", "trial.csv")]
    for file, made in zip(files, ("model.pth", "model.json", "history.csv"), strict=True):
        (run / made).rename(file)
    write_text(run / "trials.csv", f"experiment,kept\nexp,{kept}\n")
    return Trial(run / "specs/trial.yaml", *files, ranking=run / "trials.csv")


@pytest.mark.parametrize("lost", [None, "specs/trial.yaml", "trial"])
def test_a_training_resumes_from_its_own_trial_if_that_is_there(run, engine, lost):
    trial = try_out(run, engine)
    assert not (run / "train").exists()
    if lost == "trial":
        shutil.rmtree(run / "trial")
    elif lost:
        write_text(run / lost, "train: {optim: {lr: 0.2}}\n")
    train(run, engine, trial=trial)
    begun = "fresh" if lost else "resumed"
    assert calls(run) == ["trial fresh", f"train {begun}"]
    assert (run / "trial").exists() == (lost != "trial")
    train(run, engine, trial=trial)
    assert calls(run) == ["trial fresh", f"train {begun}"]


def test_an_experiment_that_its_budget_stopped_publishes_its_trial(run, engine):
    trial = try_out(run, engine, kept="no")
    train(run, engine, trial=trial)
    assert calls(run) == ["trial fresh"]
    assert (run / "model.pth").samefile(trial.model)
    assert json.loads((run / "model.json").read_text())["stopped"] == "budget"
    assert (run / "history.csv").read_text() == trial.history.read_text()


@pytest.mark.parametrize("changed", ["specs/train.yaml", "split.tsv"])
def test_a_changed_training_starts_afresh(run, engine, changed):
    train(run, engine)
    text = (run / changed).read_text()
    altered = text.replace("lr: 0.1", "lr: 0.2").replace("runtrain", "othervideo")
    assert altered != text
    (run / changed).write_text(altered)
    train(run, engine)
    assert calls(run) == ["train fresh", "train fresh"]
    assert not (run / "train.previous").exists()


def test_another_engine_starts_afresh(run, engine):
    train(run, engine)
    train(run, tasks.Execution("direct", "direct 7.4.0", 1, engine.log))
    assert calls(run) == ["train fresh", "train fresh"]


def test_a_killed_training_is_resumed_when_equal_and_only_then(run, engine, monkeypatch):
    monkeypatch.setenv("HOW", "killed")
    with pytest.raises(InputError, match="train task failed"):
        train(run, engine)
    monkeypatch.delenv("HOW")
    train(run, engine)
    assert calls(run) == ["train fresh", "train resumed"]

    monkeypatch.setenv("HOW", "killed")
    write_text(run / "specs/train.yaml", "train: {optim: {lr: 0.3}}\n")
    with pytest.raises(InputError):
        train(run, engine)
    monkeypatch.delenv("HOW")
    write_text(run / "specs/train.yaml", "train: {optim: {lr: 0.4}}\n")
    train(run, engine)
    assert calls(run)[2:] == ["train fresh", "train fresh"]


def test_exit_0_is_not_success_and_a_bogus_checkpoint_is_not_resumed(run, engine, monkeypatch):
    monkeypatch.setenv("HOW", "exit 0 on failure")
    with pytest.raises(InputError, match="RuntimeError: CUDA error"):
        train(run, engine)
    assert not (run / "model.pth").exists()
    monkeypatch.delenv("HOW")
    train(run, engine)
    assert calls(run) == ["train fresh", "train fresh"]


def test_a_failing_training_loses_no_older_one(run, engine, monkeypatch):
    train(run, engine)
    good = (run / "specs/train.yaml").read_text()
    write_text(run / "specs/train.yaml", "train: {optim: {lr: -1}}\n")
    monkeypatch.setenv("HOW", "failure line")
    with pytest.raises(InputError, match="The train task failed: bad lr"):
        train(run, engine)
    monkeypatch.delenv("HOW")
    write_text(run / "specs/train.yaml", good)
    train(run, engine)
    assert calls(run) == ["train fresh", "train fresh"], "the good one was restored, not repeated"
    assert (run / "model.pth").exists()


def test_predictions_and_metrics_come_from_every_test_video(run, engine):
    train(run, engine)
    tasks.predict(run / "specs/inference.yaml", run / "split.tsv", run / "predictions.csv", engine)
    rows = read_predictions(run / "predictions.csv")
    assert [(row.video, row.label, row.correct) for row in rows] == [
        ("test (1)", "walk", True),
        ("test (1)", "run", False),
    ]
    tasks.evaluate(
        run / "specs/evaluate.yaml",
        run / "split.tsv",
        run / "predictions.csv",
        run / "metrics.json",
        ["walk", "run"],
        engine,
    )
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["accuracy"] == metrics["evaluate"]["accuracy"] == 50.0
    assert metrics["confusion_matrix"] == [[1, 0], [1, 0]]


def test_a_video_without_prediction_is_named(run, engine, monkeypatch):
    monkeypatch.setenv("HOW", "one short")
    with pytest.raises(InputError, match=r"1 prediction for 2 test videos") as caught:
        tasks.predict(
            run / "specs/inference.yaml", run / "split.tsv", run / "predictions.csv", engine
        )
    assert "run.test (1)" in str(caught.value)
    assert not (run / "predictions.csv").exists()


def test_lost_frames_are_named_before_anything_runs(run, engine):
    (run / "data/train/walk/train (1)/rgb/000001.png").unlink()
    with pytest.raises(InputError, match=r"train/walk/train \(1\)"):
        train(run, engine)
    assert not (run / "calls").exists()
