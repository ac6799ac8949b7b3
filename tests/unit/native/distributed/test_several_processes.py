"""Several ranks of one task: they train and predict as a single process does, and end together."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from actionrec.native.__main__ import main
from actionrec.native.distributed import launch
from actionrec.spec.load import make_spec, reconcile_gpus
from helpers import is_running, wait_for
from helpers.engine import (
    LABELS,
    command,
    curve,
    draw_video,
    environment,
    run,
    statuses,
    write_spec,
)

# TF32 rounds batches of another size otherwise, by more than what is compared here; a GPU's float32
# still does so by more than a CPU's.
EXACT = {"NVIDIA_TF32_OVERRIDE": "0"}
TWO = EXACT if torch.cuda.device_count() > 1 else {"ACTIONREC_BACKEND": "gloo"}
ROUNDING = 2e-2 if TWO is EXACT else 1e-3
STEPS = 6  # of an epoch


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with train/ (12 videos) and val/ (9) of two classes, every frame the same.

    So every batch has the same statistics, of whichever clips it is, and two processes with a
    batch of 4 compute what one does with a batch of 8, but for rounding. The labels differ: what
    is learnt depends on which clips make up each batch.
    """
    root = tmp_path_factory.mktemp("alike")
    draw_video(root / "video", hue=0, frames=1, size=(64, 64))
    for part, counts in (("train", (6, 6)), ("val", (6, 3))):
        for label, count in zip(LABELS, counts, strict=True):
            for number in range(count):
                rgb = root / part / label / f"{part}_{label}_{number}" / "rgb"
                rgb.mkdir(parents=True)
                for index in range(1, 5):
                    os.link(root / "video/rgb/000001.png", rgb / f"{index:06d}.png")
    return root


def spec_of(folder: Path, data: Path, **changes: object) -> Path:
    """Write a spec that uses what must stay equal in all processes."""
    values = {
        "model.input_width": 64,
        "model.input_height": 64,
        "model.dropout_ratio": 0.0,
        "dataset.augmentation_config.horizontal_flip_prob": 0.0,
        "dataset.batch_size": 4,
        "train.num_gpus": 2,
        "train.num_epochs": 2,
        "train.clip_grad_norm": 1.0,
        "train.checkpoint_interval_unit": "step",
        "train.checkpoint_interval": 4,
        "native.ema_decay": 0.9,
        "native.class_balanced": True,
        "evaluate.num_gpus": 2,
        "inference.num_gpus": 2,
    }
    return write_spec(folder / "spec.yaml", data, folder / "results", **values | changes)


@pytest.fixture(scope="module")
def together(alike: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the spec of a training by two processes, with its stdout in the same folder."""
    spec = spec_of(tmp_path_factory.mktemp("together"), alike)
    (spec.parent / "stdout").write_text(succeed("train", spec, **TWO))
    return spec


def results(spec: Path) -> Path:
    return spec.parent / "results" / "train"


def losses(spec: Path) -> np.ndarray:
    """Return training and validation loss of each epoch."""
    return np.array(curve(results(spec)))[:, 1:]


def succeed(task: str, spec: Path, *overrides: str, **variables: str) -> str:
    """Run a task in as many processes as it says; return what it printed."""
    done = run(task, spec, *overrides, **EXACT | variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def training(spec: Path, *overrides: str) -> Iterator[tuple[subprocess.Popen, list[int]]]:
    """Start a training by two processes; yield the process that starts them, and their ids."""
    with (
        (spec.parent / "log").open("w") as log,
        subprocess.Popen(
            command("train", spec, *overrides), env=environment() | TWO, stdout=log, stderr=log
        ) as process,
    ):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        ranks = wait_for(lambda: len(ids := children.read_text().split()) == 2 and ids)
        yield process, [int(pid) for pid in ranks]


@pytest.mark.slow
def test_two_ranks_train_as_one_with_the_same_total_batch(together, alike, tmp_path):
    spec = spec_of(tmp_path, alike)
    one = ["train.num_gpus=1", "dataset.batch_size=8"]
    succeed("train", spec, *one)
    found, expected = losses(together), losses(spec)
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=ROUNDING)
    # The running variance is unbiased, by n / (n - 1), and n is that of a process's batch.
    np.testing.assert_allclose(found[:, 1], expected[:, 1], rtol=max(1e-2, ROUNDING))
    # Another total batch has a curve of its own.
    shutil.rmtree(results(spec))
    succeed("train", spec, "train.num_gpus=1")
    assert (np.abs(losses(spec) / expected - 1).max(axis=0) > (0.05, 0.1)).all()


@pytest.mark.slow
def test_only_rank_0_writes_and_prints(together):
    stdout = (together.parent / "stdout").read_text().splitlines()
    assert stdout[:2] == ["Train dataset samples: 48", "Validation dataset samples: 9"]
    assert [line.split("  ")[0] for line in stdout[2:]] == [f"epoch {n}/2" for n in (1, 2)]
    lines = statuses(results(together))
    assert len(lines) == 2 + 2 * 3 + 2
    assert [line["step"] for line in lines if "eta" in line] == [STEPS, 2 * STEPS]
    # No video of the nine is counted twice.
    accuracies = {line["kpi"]["val_acc"] for line in lines if "val_acc" in line.get("kpi", {})}
    assert all(round(9 * accuracy, 3).is_integer() for accuracy in accuracies)
    assert sorted(path.name for path in results(together).glob("*.pth")) == [
        "ar_model_latest.pth",
        "model_epoch_000_step_00004.pth",
        "model_epoch_001_step_00008.pth",
        "model_epoch_001_step_00012.pth",
    ]


@pytest.mark.slow
def test_when_a_rank_is_killed_all_end_and_the_next_training_resumes_exactly(
    together, alike, tmp_path
):
    spec = spec_of(tmp_path, alike)
    with training(spec) as (process, ranks):
        wait_for((results(spec) / "model_epoch_001_step_00008.pth").exists, 180)
        os.kill(ranks[1], signal.SIGKILL)
        assert process.wait(60) == 1
    assert not any(map(is_running, ranks))
    last = statuses(results(spec))[-1]
    assert last["status"] == "FAILURE"
    assert "rank 1 was killed by SIGKILL" in last["message"]
    succeed("train", spec, **TWO)
    assert curve(results(spec)) == curve(results(together))


@pytest.mark.parametrize("killed", [0, 1])
def test_of_several_failed_ranks_the_killed_one_is_named(killed):
    """The others may have failed first, at its loss, when both are looked at."""
    processes = [subprocess.Popen(["sleep", "60"]), subprocess.Popen(["false"])]
    processes[0].kill()
    for process in processes:
        process.wait()
    if killed:
        processes.reverse()
    assert launch._first_failure(processes, []) == killed


@pytest.mark.slow
def test_evaluation_by_two_ranks_equals_that_by_one(together):
    """Of an odd number of videos, none is counted twice and the order is kept."""
    printed = succeed("evaluate", together, **TWO)
    assert printed == succeed("evaluate", together, "evaluate.num_gpus=1")
    assert printed.count("Total accuracy") == 1


@pytest.mark.slow
def test_inference_by_two_ranks_equals_that_by_one(together):
    """Also when there are fewer videos than a batch, and one process has one more."""
    table = together.parent / "results/inference/predictions.csv"
    outcomes = []
    for overrides, variables in ((), TWO), (("inference.num_gpus=1",), {}):
        printed = succeed("inference", together, *overrides, **variables)
        names, numbers = zip(*((row[:2], row[2:]) for row in read_rows(table)), strict=True)
        outcomes.append((printed, names, np.array(numbers, float)))
    (printed, names, numbers), (printed_by_one, names_by_one, numbers_by_one) = outcomes
    assert (printed, names) == (printed_by_one, names_by_one)
    assert len(names) == 3
    # Batches of one clip and of two are computed by other kernels, and six digits are written.
    np.testing.assert_allclose(numbers, numbers_by_one, atol=2e-6)


def read_rows(table: Path) -> list[list[str]]:
    """Return the rows below a table's head."""
    return [line.split(",") for line in table.read_text().splitlines()[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_command_ends_all_ranks(number, alike, tmp_path):
    spec = spec_of(tmp_path, alike)
    with training(spec) as (process, ranks):
        wait_for((results(spec) / "status.json").exists)
        process.send_signal(number)
        assert process.wait(60) == (143 if number == signal.SIGTERM else -number)
        wait_for(lambda: not any(map(is_running, ranks)), 20)
    if number == signal.SIGTERM:
        last = statuses(results(spec))[-1]
        assert (last["status"], "was ended" in last["message"]) == ("FAILURE", True)


@pytest.mark.slow
def test_missing_gpus_are_reported_by_one_rank_only(alike, tmp_path):
    spec = spec_of(tmp_path, alike)
    done = run("train", spec, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert done.stderr.count("asks for a GPU that this process does not see") == 1
    assert [line["status"] for line in statuses(results(spec))].count("FAILURE") == 1


def test_several_machines_need_a_launcher(alike, tmp_path, capsys):
    spec = spec_of(tmp_path, alike)
    assert main(["train", "-e", str(spec), "train.num_nodes=3"]) == 1
    assert "torchrun --nnodes=3 --nproc-per-node=2" in capsys.readouterr().err
    assert statuses(results(spec))[-1]["status"] == "FAILURE"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ((1, [0]), (1, [0])),
        ((1, [3]), (1, [3])),
        ((2, [0]), (2, [0, 1])),
        ((1, [2, 3]), (2, [2, 3])),
        ((3, [2, 3]), (3, [0, 1, 2])),
    ],
)
def test_gpus_are_counted_as_tao_counts_them(given, found):
    spec = make_spec({"train": dict(zip(("num_gpus", "gpu_ids"), given, strict=True))}, "test")
    reconcile_gpus(spec.train)
    assert (spec.train.num_gpus, list(spec.train.gpu_ids)) == found
