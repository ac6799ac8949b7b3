"""Results: status lines, history, the choice of a checkpoint, metrics and predictions."""

import json

import pytest

from actionrec.errors import InputError
from actionrec.experiments import checkpoints
from actionrec.experiments import task_outcome as status
from actionrec.experiments.metrics import compute_metrics
from actionrec.experiments.predictions import (
    Prediction,
    load_predictions,
    read_predictions,
    write_predictions,
)
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
    assert status.finished(task, tmp_path)
    (tmp_path / "status.json").write_text("".join(lines.splitlines(keepends=True)[:-1]))
    assert not status.finished(task, tmp_path)


def test_a_file_that_just_ends_is_a_failure_whatever_the_exit_code(tmp_path):
    failed = (GOLDEN / "status/failed_without_failure_line.json").read_bytes()
    (tmp_path / "status.json").write_bytes(failed)
    with pytest.raises(InputError, match="AssertionError: the file exists"):
        status.require_finished("export", tmp_path, 0, "one\rAssertionError: the file exists\n")


def test_a_half_written_line_is_ignored(trained):
    with (trained / "status.json").open("a") as file:
        file.write('{"date": "11/22/2026", "mess')
    assert status.finished("train", trained)


def test_history_has_a_row_an_epoch(trained):
    history = status.read_history(trained)
    assert [row["epoch"] for row in history] == [0, 1]
    assert history[0]["val_loss"] == pytest.approx(0.688858687877655)
    assert history[0]["train_loss"] == pytest.approx(0.7321968078613281)
    assert history[1]["train_acc"] == pytest.approx(0.5416666865348816)
    assert history[0]["seconds"] == pytest.approx(41.520)


def test_a_resumed_epoch_counts_once(trained):
    lines = (trained / "status.json").read_text().splitlines()
    (trained / "status.json").write_text("\n".join([*lines[:5], *lines[2:]]) + "\n")
    assert [row["epoch"] for row in status.read_history(trained)] == [0, 1]


def test_best_is_the_lower_loss_among_equal_accuracies(trained):
    best, _ = checkpoints.choose(trained, "best")
    assert best.epoch == 0
    last, _ = checkpoints.choose(trained, "last")
    assert last.epoch == 1


def test_the_checkpoint_of_a_failed_start_is_never_chosen(tmp_path):
    (tmp_path / "model_epoch_000_step_00000.pth").touch()
    (tmp_path / "ar_model_latest.pth").symlink_to("model_epoch_000_step_00000.pth")
    with pytest.raises(InputError, match="left no checkpoint"):
        checkpoints.choose(tmp_path, "last")


def test_without_validation_the_last_is_taken(tmp_path):
    (tmp_path / "model_epoch_003_step_00040.pth").touch()
    chosen, reason = checkpoints.choose(tmp_path, "best")
    assert chosen.epoch == 3
    assert "nothing was validated" in reason


def test_metrics_are_taos():
    """Three of four right in one class, the one of another wrong, a third class without videos."""
    predictions = [
        Prediction("a", "walk", "walk", True),
        Prediction("b", "walk", "walk", True),
        Prediction("c", "walk", "walk", True),
        Prediction("d", "walk", "run", False),
        Prediction("e", "run", "walk", False),
    ]
    scored = compute_metrics(predictions, ["run", "walk", "push"])
    assert scored["accuracy"] == 60.0
    assert scored["m_accuracy"] == 25.0
    assert scored["confusion_matrix"] == [[0, 1, 0], [1, 3, 0], [0, 0, 0]]
    assert scored["per_class"]["walk"] == {"accuracy": 75.0, "correct": 3, "videos": 4}
    assert scored["videos"] == 5


def test_predictions_are_read_from_what_tao_prints(tmp_path):
    """As TAO 7.3's entrypoint mangles them: glued to the bar, and after carriage returns."""
    text = (GOLDEN / "inference.stdout.txt").read_bytes().decode()
    found = read_predictions(tmp_path, text)
    assert len(found) == text.count(" : [")
    assert found
    assert all("/" not in video and label for video, (label, _) in found.items())


def test_several_clips_of_a_video_are_decided_by_the_majority(tmp_path):
    text = "100%|###| 1/1 [00:00, 2it/s]/d/ride.v1 : ['ride', 'fall', 'ride']\n"
    assert read_predictions(tmp_path, text) == {"ride.v1": ("ride", None)}


def test_predictions_survive_the_file(tmp_path):
    rows = [
        Prediction('odd, "name" [x]', "walk", "run", False, 0.75),
        Prediction("b", "run", "run", True),
    ]
    write_predictions(tmp_path / "p.csv", rows)
    assert load_predictions(tmp_path / "p.csv") == rows
    assert (tmp_path / "p.csv").read_text().startswith("video,label,prediction,correct")


def test_model_json_says_which_and_why(trained, tmp_path):
    chosen, reason = checkpoints.choose(trained, "best")
    checkpoints.write_choice(
        tmp_path / "model.json", chosen, reason, status.read_history(trained), "native 7.3.0"
    )
    choice = json.loads((tmp_path / "model.json").read_text())
    assert choice["epoch"] == 0
    assert choice["val_acc"] == 0.5
    assert choice["checkpoint"].endswith("/model_epoch_000_step_00006.pth")
