"""Every toolkit's results, from training to metrics, through a stand-in for its command."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from actionrec.dataset import link_tree, split_table
from actionrec.errors import InputError
from actionrec.experiments import tasks, transcript
from actionrec.experiments.checkpoints import Checkpoint, choose, find_checkpoints
from actionrec.experiments.task_outcome import Ended, read_outcome
from actionrec.spec import toolkits
from actionrec.spec.render import Run, render_spec
from actionrec.spec.toolkits import TASKS
from actionrec.utils import tables
from actionrec.utils.files import write_text
from actionrec.utils.tables import write_table
from helpers import DATA, clone, snakemake, write_video

LABELS = ["walk", "run"]
FORMS = ["3.21.11", "5.0.0", "5.5.0", "7.3.0"]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Put the stand-in on PATH; return a function that chooses its toolkit."""
    program = tmp_path / "bin/action_recognition"
    script = DATA / "toolkits/action_recognition.py"
    write_text(program, f'#!/bin/sh\nexec {sys.executable} "{script}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return lambda toolkit: monkeypatch.setenv("TOOLKIT", toolkit)


@pytest.fixture(params=FORMS)
def run(request, tmp_path, stand_in, monkeypatch):
    """Return an experiment of three epochs, ready to train, with the engine of a toolkit."""
    toolkit = request.param
    stand_in(toolkit)
    frames, folder = tmp_path / "frames", tmp_path / "results/exp/split1"
    rows = []
    for cls in LABELS:
        for part, video in (("train", "a (1)"), ("test", "b=2"), ("test", f"{cls} wrong")):
            rgb = frames / cls / video / "rgb"
            rgb.mkdir(parents=True)
            (rgb / "000001.png").touch()
            rows.append((part, cls, video, 1, "png", f"{cls}{video}", ""))
    write_table(folder / "split.tsv", split_table.COLUMNS, rows)
    link_tree.link_split(folder / "split.tsv", frames, folder / "data", "symlink")
    for task in TASKS:
        render_spec(
            folder / f"specs/{task}.yaml",
            task,
            {"train": {"num_epochs": 3}} if task == "train" else {},
            Run(folder, LABELS, "test", {}, toolkit, encrypt=False),
        )
    return folder, tasks.Execution("direct", f"direct {toolkit}", 1, tmp_path / "job.log", toolkit)


def train(run, select="best") -> dict:
    """Train and return what model.json says."""
    folder, engine = run
    training = tasks.Training(
        spec=folder / "specs/train.yaml",
        split=folder / "split.tsv",
        pretrained=(),
        model=folder / toolkits.model_file(engine.toolkit),
        choice=folder / "model.json",
        history=folder / "history.csv",
        select=select,
    )
    tasks.train(training, engine)
    return json.loads((folder / "model.json").read_text())


def predict(run) -> None:
    folder, engine = run
    tasks.predict(
        folder / "specs/inference.yaml",
        folder / "split.tsv",
        folder / "predictions.csv",
        engine,
    )


def evaluate(run) -> dict:
    folder, engine = run
    tasks.evaluate(
        folder / "specs/evaluate.yaml",
        folder / "split.tsv",
        folder / "predictions.csv",
        folder / "metrics.json",
        LABELS,
        engine,
    )
    return json.loads((folder / "metrics.json").read_text())


def export(run) -> Path:
    folder, engine = run
    exported = folder / "export" / toolkits.exported_file(engine.toolkit)
    tasks.export(
        folder / "specs/export.yaml",
        exported,
        folder / "export/labels.txt",
        LABELS,
        engine,
    )
    return exported


def test_from_training_to_metrics_with_every_form_of_results(run):
    folder, engine = run
    choice = train(run)
    assert choice["epoch"] == 1, "the best, not the last"
    assert choice["epochs"] == 3
    assert choice["val_loss"] == 0.5
    history = tables.read_csv(folder / "history.csv")
    assert [(row["epoch"], row["val_loss"]) for row in history] == [
        ("0", "0.75"),
        ("1", "0.5"),
        ("2", "0.75"),
    ]
    if not toolkits.is_old(engine.toolkit):
        assert [row["train_loss"] for row in history] == ["1.0"] * 3
    assert len(find_checkpoints(folder / "train")) == 2, "the best and the last are kept"
    predict(run)
    metrics = evaluate(run)
    assert metrics["confusion_matrix"] == [[1, 1], [1, 1]]
    assert metrics["accuracy"] == metrics["m_accuracy"] == 50.0
    assert metrics["evaluate"] == {"accuracy": 50.0, "m_accuracy": 50.0}
    exported = export(run)
    assert export(run).read_bytes() == exported.read_bytes(), "an older export is replaced"


def test_the_last_checkpoint_can_be_chosen(run):
    assert train(run, select="last")["epoch"] == 2


def test_a_killed_training_resumes_or_starts_from_the_beginning(run, monkeypatch):
    """3.21.11 to 4.0.1 start again, 5.0 to 5.3 get the checkpoint in their spec, newer find it."""
    folder, engine = run
    monkeypatch.setenv("FAULT", "killed")
    with pytest.raises(InputError, match="train task failed"):
        train(run)
    monkeypatch.delenv("FAULT")
    if not toolkits.resumes(engine.toolkit):
        (folder / "train/ar_model_epoch=001-v1.tlt").write_bytes(b"PK cut short")
    assert train(run, select="last")["epochs"] == 3
    assert not list((folder / "train").glob("*-v1.tlt"))
    resuming = folder / "train/resume.yaml"
    if engine.toolkit == "5.0.0":
        named = yaml.safe_load(resuming.read_text())["train"]["resume_training_checkpoint_path"]
        assert Path(named).name == "ar_model_epoch=000.tlt"
    else:
        assert not resuming.exists()
    rows = (folder / "train/status.json").read_text().count("Training loop in progress")
    assert rows == 3, "no epoch was trained twice, or all were and the first attempt forgotten"


def test_a_training_without_its_last_checkpoint_has_failed(run, monkeypatch):
    monkeypatch.setenv("FAULT", "no last checkpoint")
    with pytest.raises(InputError, match="its last checkpoint is missing") as caught:
        train(run)
    assert "epoch 2, counted from 0" in str(caught.value)
    assert not (run[0] / "model.json").exists()


@pytest.mark.parametrize("run", ["3.21.11", "7.3.0"], indirect=True)
def test_silence_with_exit_code_0_is_no_success(run, monkeypatch):
    train(run)
    predict(run)
    monkeypatch.setenv("FAULT", "silent")
    for task in (predict, evaluate):
        with pytest.raises(InputError, match="CUDA error: out of memory"):
            task(run)
    with pytest.raises(InputError, match=r"left no model|export task failed"):
        export(run)


@pytest.mark.parametrize("run", ["3.21.11"], indirect=True)
def test_an_old_toolkit_gets_its_key_from_the_environment(run, monkeypatch):
    train(run)
    assert export(run).read_bytes() == b"exported with nvidia_tao"
    monkeypatch.setenv("TAO_KEY", "my own $(key)")
    assert export(run).read_bytes() == b"exported with my own $(key)"
    assert "my own" not in run[1].log.read_text()


# --- words and names ---


@pytest.mark.parametrize(
    ("name", "epoch", "val_loss"),
    [
        ("ar_model_epoch=19-val_loss=0.05.tlt", 19, 0.05),
        ("ar_model_epoch=19-val_loss=0.05-v1.tlt", 19, 0.05),
        ("ar_model_epoch=004.tlt", 4, None),
        ("model_epoch_004.pth", 4, None),
        ("model_epoch_004_step_00123.pth", 4, None),
        ("model_epoch_1000_step_123456.pth", 1000, None),
        ("model_best_000.pth", 0, None),
    ],
)
def test_a_checkpoint_is_known_by_every_naming(tmp_path, name, epoch, val_loss):
    (tmp_path / name).touch()
    (tmp_path / "ar_model_latest.pth").symlink_to(name)
    assert find_checkpoints(tmp_path) == [Checkpoint(tmp_path / name, epoch, val_loss)]


def test_without_accuracies_the_lowest_loss_is_best(tmp_path):
    for epoch, loss in enumerate(("0.30", "0.05", "0.12")):
        (tmp_path / f"ar_model_epoch={epoch}-val_loss={loss}.tlt").touch()
    outcome = read_outcome("train", tmp_path, "3.21.11", Ended(0))
    assert outcome.finished
    choice = choose(outcome.checkpoints, outcome.history, "best")
    assert choice.checkpoint.epoch == 1
    assert choice.reason.startswith("lowest validation loss")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tutorial/evaluate.stdout.txt", {"accuracy": 98.333, "m_accuracy": 98.333}),
        ("golden/evaluate.stdout.txt", {"accuracy": 50.0, "m_accuracy": 50.0}),
        ("tutorial/inference.stdout.txt", {}),
    ],
)
def test_accuracies_are_read_from_what_tao_prints(text, found):
    assert transcript.read_accuracies((DATA / text).read_text()) == found


def test_predictions_are_read_from_what_an_old_toolkit_prints():
    output = (DATA / "tutorial/inference.stdout.txt").read_text()
    found = transcript.read_predictions(output)
    name = "Yorki_Kassy_beim_Fahrrad_fahren_ride_bike_f_cm_np1_le_med_2"
    assert found[name] == "ride_bike"
    assert len(found) == 3


@pytest.mark.parametrize("rate", ["1.93it/s", "1.20s/it"])
def test_a_prediction_glued_to_a_progress_bar_is_read(rate):
    output = (
        f"Predicting: 100%|##| 2/2 [00:01<00:00, {rate}]/d/walk.a=1 : ['run']\r/d/b : ['walk']\n"
    )
    assert transcript.read_predictions(output) == {"walk.a=1": "run", "b": "walk"}


def test_a_status_of_the_toolkits_own_decides(tmp_path):
    write_text(tmp_path / "status.json", '{"status": "FAILURE", "message": "no memory"}\n')
    (tmp_path / "ar_model_epoch=0-val_loss=0.10.tlt").touch()
    assert not read_outcome("train", tmp_path, "3.21.11", Ended(0)).finished


@pytest.mark.parametrize("toolkit", FORMS)
@pytest.mark.parametrize("ended", [None, Ended(0), Ended(1)])
def test_checkpoints_alone_are_no_success_but_with_an_old_toolkits_exit_code_0(
    tmp_path, toolkit, ended
):
    (tmp_path / "ar_model_epoch=0-val_loss=0.10.tlt").touch()
    finished = read_outcome("train", tmp_path, toolkit, ended).finished
    assert finished == (toolkits.is_old(toolkit) and ended == Ended(0))


# --- the whole workflow ---


@pytest.mark.slow
def test_the_workflow_with_an_old_toolkit(tmp_path, stand_in):
    """Videos to .etlt as the tutorial has it, with model.tlt and no ONNX."""
    stand_in("3.21.11")
    folder = clone(tmp_path / "workflow")
    for cls in LABELS:
        for number in range(4):
            write_video(tmp_path / f"videos/{cls}/{number}.avi", frames=4)
    content = {
        "dataset": {
            "name": "own",
            "source": "folder",
            "path": str(tmp_path / "videos"),
            "classes": LABELS,
        },
        "splits": {"validation": "test"},
        "tao": {"runner": "direct", "toolkit": "3.21.11"},
        "spec": {"train": {"num_epochs": 2}},
        "experiments": {"rgb": {}},
    }
    write_text(folder / "config/config.yaml", yaml.safe_dump(content))
    snakemake(folder, "--cores", "2")
    made = folder / "results/own/experiments/rgb/split1"
    assert (made / "export/model.etlt").read_bytes() == b"exported with nvidia_tao"
    assert not (made / "export/model.onnx").exists()
    assert (made / "model.tlt").exists()
    assert json.loads((made / "model.json").read_text())["epoch"] == 1
    assert json.loads((made / "metrics.json").read_text())["accuracy"] == 100.0
    assert "Nothing to be done" in snakemake(folder, "--cores", "1")
