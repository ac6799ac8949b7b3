"""How far trainings are, by their status.json."""

import io
import json
import os

import pytest

from actionrec.errors import InputError
from actionrec.experiments import training_progress
from actionrec.experiments.training_progress import Watcher, progress_below, read_progress


def write_status(folder, epochs, *, last=None, at=1000.0, eta="0:02:00", total=5):
    """Write the status.json of a training that has ended so many epochs."""
    folder.mkdir(parents=True, exist_ok=True)
    records = [{"status": "STARTED", "message": "Starting Training Loop."}]
    for epoch in range(epochs):
        progress = {"epoch": epoch, "step": 9, "max_epoch": total - 1, "eta": eta}
        progress |= {"time_per_epoch": "0:00:30", "message": "Training loop in progress"}
        kpi = {"val_loss": 0.9, "val_acc": 0.714}
        records.append(progress | {"kpi": kpi})
        kpi = {"train_loss": 0.5234, "train_acc": 0.8}
        records.append({"message": "Train metrics generated.", "kpi": kpi})
    records += [last] if last else []
    file = folder / "status.json"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    os.utime(file, (at, at))


def test_a_line_has_epoch_loss_accuracy_and_time_left(tmp_path):
    write_status(tmp_path, 3)
    found = read_progress(tmp_path, "rgb split1", now=1030)
    assert str(found) == "rgb split1  epoch 3/5  loss 0.523  accuracy 71.4 %  1.5 min left"


@pytest.mark.parametrize(
    ("epochs", "last", "now", "state"),
    [
        (0, None, 1001, "starting"),
        (2, None, 1001, "running"),
        (2, None, 1601, "silent"),
        (5, {"message": "Train finished successfully."}, 9999, "finished"),
        (5, {"status": "SUCCESS", "message": ""}, 9999, "finished"),
        (1, {"status": "FAILURE", "message": "no"}, 1001, "failed"),
    ],
)
def test_states(tmp_path, epochs, last, now, state):
    write_status(tmp_path, epochs, last=last)
    assert read_progress(tmp_path, "x", now=now).state == state


def test_trainings_are_found_from_every_folder_of_results(tmp_path):
    run = tmp_path / "results/demo/experiments/rgb/split1"
    write_status(run / "train", 1)
    write_status(run / "trial", 1)
    for folder in (run, *run.parents[:4]):
        if folder.name != "experiments":
            names = [progress.name for progress in progress_below(folder)]
            assert names == ["rgb split1 (trial)", "rgb split1"], folder
    assert read_progress(tmp_path, "x") is None


def test_the_status_command(tmp_path, capsys):
    assert training_progress.print_status(tmp_path) == 0
    assert "No training has begun" in capsys.readouterr().out
    write_status(tmp_path / "demo/experiments/rgb/split1/train", 2)
    training_progress.print_status(tmp_path)
    assert capsys.readouterr().out.startswith("rgb split1  epoch 2/5  loss 0.523")
    with pytest.raises(InputError, match="no such folder"):
        training_progress.print_status(tmp_path / "none")


def test_a_run_prints_each_epoch_once_and_nothing_of_earlier_runs(tmp_path):
    stream = io.StringIO()
    runs = tmp_path / "experiments"
    write_status(runs / "old/split1/train", 5, at=900)
    write_status(runs / "a/split1/train", 0, at=1001)
    write_status(runs / "b/split1/train", 1, at=1001)
    watcher = Watcher(runs.parent, stream, since=1000)
    watcher.look(1001)
    watcher.look(1002)
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["b"]
    write_status(runs / "a/split1/train", 1, at=1003)
    write_status(runs / "b/split1/train", 2, at=1003)
    watcher.look(1003)  # too soon for another line of b
    finished = {"message": "Train finished successfully."}
    write_status(runs / "b/split1/train", 3, at=1004, last=finished)
    watcher.look(1004)
    names = [line.split()[0] for line in stream.getvalue().splitlines()]
    assert names == ["b", "a", "b"]
    assert stream.getvalue().endswith("finished\n")
