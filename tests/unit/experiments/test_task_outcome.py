"""What a task left: whether it succeeded, its history, checkpoints, metrics and predictions."""

import json

import pytest

from actionrec.errors import InputError
from actionrec.experiments import transcript
from actionrec.experiments.checkpoints import choose, find_checkpoints, write_choice
from actionrec.experiments.predictions import Prediction, read_predictions, write_predictions
from actionrec.experiments.task_outcome import Ended, Expected, Predicted, read_outcome
from helpers import DATA

GOLDEN = DATA / "golden"


@pytest.fixture
def trained(tmp_path):
    """Return TAO's own folder of a two-epoch training, checkpoints empty."""
    (tmp_path / "status.json").write_bytes((GOLDEN / "status/train.json").read_bytes())
    for name in ("model_epoch_000_step_00006.pth", "model_epoch_001_step_00012.pth"):
        (tmp_path / name).touch()
    (tmp_path / "ar_model_latest.pth").symlink_to("model_epoch_001_step_00012.pth")
    return tmp_path


@pytest.mark.parametrize("task", ["train", "evaluate", "inference", "export"])
def test_a_task_is_finished_when_taos_last_line_says_so(task, tmp_path):
    lines = (GOLDEN / f"status/{task}.json").read_text()
    (tmp_path / "status.json").write_text(lines)
    assert read_outcome(task, tmp_path, "7.3.0").finished
    (tmp_path / "status.json").write_text("".join(lines.splitlines(keepends=True)[:-1]))
    assert not read_outcome(task, tmp_path, "7.3.0").finished


def test_a_file_that_just_ends_is_a_failure_whatever_the_exit_code(tmp_path):
    failed = (GOLDEN / "status/failed_without_failure_line.json").read_bytes()
    (tmp_path / "status.json").write_bytes(failed)
    outcome = read_outcome(
        "export", tmp_path, "7.3.0", Ended(0, "one\rAssertionError: the file exists\n")
    )
    assert not outcome.finished and not outcome.succeeded
    with pytest.raises(InputError, match="AssertionError: the file exists"):
        outcome.require_success()


@pytest.mark.parametrize("task", ["train", "evaluate", "inference", "export"])
def test_a_task_that_says_so_and_exits_with_an_error_has_failed(task, tmp_path):
    (tmp_path / "status.json").write_bytes((GOLDEN / f"status/{task}.json").read_bytes())
    outcome = read_outcome(task, tmp_path, "7.3.0", Ended(137, "Killed"))
    with pytest.raises(InputError, match=r"Killed[\s\S]*exit code 137"):
        outcome.require_success()


@pytest.mark.parametrize(
    ("task", "expected", "problem"),
    [
        ("train", Expected({"train": {"num_epochs": 3}}), "epoch 2, counted from 0"),
        ("train", Expected(), "left no checkpoint"),
        ("inference", Expected(videos={"a"}), "0 predictions for 1 test video."),
        ("export", Expected(exported=DATA / "no such.onnx"), "left no model"),
    ],
)
def test_a_task_that_finished_without_what_it_was_asked_for_has_not_succeeded(
    task, expected, problem, tmp_path
):
    (tmp_path / "status.json").write_bytes((GOLDEN / f"status/{task}.json").read_bytes())
    outcome = read_outcome(task, tmp_path, "7.3.0", Ended(0), expected)
    assert outcome.finished and not outcome.succeeded
    with pytest.raises(InputError, match=problem):
        outcome.require_success()


@pytest.mark.parametrize(
    ("spec", "kpi", "expected"),
    [
        ({}, {"accuracy": 9, "m_accuracy": 8}, {"accuracy": 9, "m_accuracy": 8}),
        (
            {"evaluate": {"video_eval_mode": "conv"}},
            {"accuracy": 9, "m_accuracy": 8},
            {"clip_accuracy": 9, "clip_m_accuracy": 8},
        ),
        (
            {"evaluate": {"video_eval_mode": "all"}, "model": {"input_type": "3d"}},
            {"accuracy": 9, "m_accuracy": 8},
            {"accuracy": 9, "m_accuracy": 8},
        ),
        (
            {"evaluate": {"video_eval_mode": "conv"}},
            {"accuracy": 9, "m_accuracy": 8, "clip_accuracy": 7, "clip_m_accuracy": 6},
            {"accuracy": 9, "m_accuracy": 8, "clip_accuracy": 7, "clip_m_accuracy": 6},
        ),
    ],
)
def test_metrics_that_count_clips_are_named_so(spec, kpi, expected, tmp_path):
    record = {"message": "Evaluate finished successfully.", "kpi": kpi}
    (tmp_path / "status.json").write_text(json.dumps(record))
    outcome = read_outcome("evaluate", tmp_path, "7.3.0", Ended(0), Expected(spec))
    assert outcome.metrics == expected


def test_a_half_written_line_is_ignored(trained):
    with (trained / "status.json").open("a") as file:
        file.write('{"date": "11/22/2026", "mess')
    assert read_outcome("train", trained, "7.3.0").finished


def test_history_has_a_row_an_epoch(trained):
    history = read_outcome("train", trained, "7.3.0").history
    assert [row.epoch for row in history] == [0, 1]
    assert history[0].val_loss == pytest.approx(0.688858687877655)
    assert history[0].train_loss == pytest.approx(0.7321968078613281)
    assert history[1].train_acc == 54.167, "in percent, of TAO's share 0.5416666865348816"
    assert history[0].seconds == pytest.approx(41.520)


def test_a_resumed_epoch_counts_once(trained):
    lines = (trained / "status.json").read_text().splitlines()
    (trained / "status.json").write_text("\n".join([*lines[:5], *lines[2:]]) + "\n")
    assert [row.epoch for row in read_outcome("train", trained, "7.3.0").history] == [0, 1]


def choose_from(folder, select):
    """Return the choice among what a training of TAO 7.3 left."""
    outcome = read_outcome("train", folder, "7.3.0")
    return choose(outcome.checkpoints, outcome.history, select)


def test_best_is_the_lower_loss_among_equal_accuracies(trained):
    assert choose_from(trained, "best").checkpoint.epoch == 0
    assert choose_from(trained, "last").checkpoint.epoch == 1


def test_the_checkpoint_of_a_failed_start_is_never_chosen(tmp_path):
    (tmp_path / "model_epoch_000_step_00000.pth").touch()
    (tmp_path / "ar_model_latest.pth").symlink_to("model_epoch_000_step_00000.pth")
    assert find_checkpoints(tmp_path) == []


def test_without_validation_the_last_is_taken(tmp_path):
    (tmp_path / "model_epoch_003_step_00040.pth").touch()
    choice = choose_from(tmp_path, "best")
    assert choice.checkpoint.epoch == 3
    assert "nothing was validated" in choice.reason


def test_predictions_are_read_from_what_tao_prints(tmp_path):
    """As TAO 7.3's entrypoint mangles them: glued to the bar, and after carriage returns."""
    text = (GOLDEN / "inference.stdout.txt").read_bytes().decode()
    found = transcript.read_predictions(text)
    assert len(found) == text.count(" : [")
    assert found
    assert all("/" not in video and label for video, label in found.items())


def test_the_native_engines_predictions_bring_their_probability(tmp_path):
    (tmp_path / "predictions.csv").write_text("video,prediction,ride,walk\nv (1),ride,0.75,0.25\n")
    (tmp_path / "status.json").write_bytes((GOLDEN / "status/inference.json").read_bytes())
    outcome = read_outcome("inference", tmp_path, "7.3.0", Ended(0, "/d/v (1) : ['walk']\n"))
    scores = {"ride": 0.75, "walk": 0.25}
    assert outcome.predictions == {"v (1)": Predicted("ride", 0.75, scores)}


def test_several_clips_of_a_video_are_decided_by_the_majority():
    text = "100%|###| 1/1 [00:00, 2it/s]/d/ride.v1 : ['ride', 'fall', 'ride']\n"
    assert transcript.read_predictions(text) == {"ride.v1": "ride"}


def test_predictions_survive_the_file(tmp_path):
    rows = [
        Prediction('odd, "name" [x]', "walk", "run", 0.75),
        Prediction("b", "run", "run"),
    ]
    write_predictions(tmp_path / "p.csv", rows)
    assert read_predictions(tmp_path / "p.csv") == rows
    assert [row.correct for row in rows] == [False, True]
    assert (tmp_path / "p.csv").read_text().startswith("video,label,prediction,correct")


def test_model_json_says_which_and_why(trained, tmp_path):
    history = read_outcome("train", trained, "7.3.0").history
    write_choice(tmp_path / "model.json", choose_from(trained, "best"), history, "native 7.3.0")
    choice = json.loads((tmp_path / "model.json").read_text())
    assert choice["epoch"] == 0
    assert choice["val_acc"] == 50.0
    assert choice["checkpoint"].endswith("/model_epoch_000_step_00006.pth")
    assert "pretrained" not in choice
    origin = {"rgb": {"file": "a.pth", "family": "TAO", "changes": {}}}
    (trained / "pretrained.json").write_text(json.dumps(origin))
    write_choice(tmp_path / "model.json", choose_from(trained, "best"), history, "native 7.3.0")
    assert json.loads((tmp_path / "model.json").read_text())["pretrained"] == origin
