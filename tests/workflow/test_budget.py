"""A sweep with a budget: the best train on, and nothing depends on how the sweep grew."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from actionrec.experiments.status_json import Epoch, read_history, read_records
from helpers import clone, edit, planned, small_project, snakemake

SMALL_RUNS = "results/small/experiments"
SUMMARY = "results/small/summary.csv"


@pytest.fixture
def small(tmp_path):
    """Return a clone with a folder of tiny videos and a configuration that runs in seconds."""
    return small_project(tmp_path / "small")


@pytest.mark.slow
def test_a_budget_lets_the_best_of_a_sweep_train_on_as_if_never_stopped(small):
    """And what it lets is the same for a sweep that grew and one that was begun whole."""
    config, sweep = small / "config/config.yaml", {"train.optim.lr": [0.001, 0.1]}

    def begin(content):
        content["spec"]["train"] = {"num_epochs": 4, "optim": {"lr_steps": [1, 3]}}
        content["experiments"] = {"rgb": {"sweep": sweep, "budget": {"epochs": 2, "keep": 1}}}

    edit(config, begin)
    snakemake(small, "--cores", "2", SUMMARY)
    best = check_budget(small, members=2)
    assert planned(small, SUMMARY) == {}

    def grow(content):
        content["experiments"]["rgb"]["sweep"]["train.optim.lr"].append(0.01)
        spec = {"train": {"optim": {"lr": float(best.removeprefix("rgb-lr_"))}}}
        content["experiments"]["whole"] = {"spec": spec}

    edit(config, grow)
    models = {path: path.stat().st_ino for path in small.glob(f"{SMALL_RUNS}/*/split1/t*/*.pth")}
    jobs = planned(small, SUMMARY)
    assert jobs["train_trial"] == 1, "the new value's"
    assert jobs["train_model"] == 3, "the new value, the kept one, which may now fall, and `whole`"
    snakemake(small, "--cores", "2", SUMMARY)
    check_budget(small, members=3)
    assert models == {path: path.stat().st_ino for path in models}
    assert curve_of(small, best, "train") == curve_of(small, "whole", "train")
    assert planned(small, SUMMARY) == {}

    again = clone(small.with_name("again"))
    shutil.copy(config, again / "config")
    shutil.copytree(small / "videos", again / "videos")
    snakemake(again, "--cores", "2", "train")
    for path in ("rgb/split1/trials.csv", *(f"{name}/split1/model.json" for name in runs(small))):
        assert (again / SMALL_RUNS / path).read_text() == (small / SMALL_RUNS / path).read_text()


def check_budget(folder: Path, members: int) -> str:
    """Check a sweep whose budget keeps one experiment after two epochs of four; return that one."""
    with (folder / SMALL_RUNS / "rgb/split1/trials.csv").open() as file:
        trials = list(csv.DictReader(file))
    order = [(-float(row["val_acc"]), float(row["val_loss"])) for row in trials]
    assert order == sorted(order)
    assert [row["kept"] for row in trials] == ["yes"] + ["no"] * (members - 1)
    with (folder / SUMMARY).open() as file:
        summary = {row["experiment"]: row for row in csv.DictReader(file)}
    for row in trials:
        epochs, stopped = ("4", "") if row["kept"] == "yes" else ("2", "budget")
        ended = summary[row["experiment"]]
        assert (ended["epochs"], ended["stopped"]) == (epochs, stopped)
        assert float(ended["accuracy"]) >= 0
    return trials[0]["experiment"]


def curve_of(folder: Path, experiment: str, task: str) -> list[Epoch]:
    """Return losses and accuracies of a training by epoch, without times."""
    records = read_records(folder / SMALL_RUNS / experiment / "split1" / task)
    return [replace(epoch, seconds=None) for epoch in read_history(records)]


def runs(folder: Path) -> list[str]:
    """Return the experiments that have a model."""
    return sorted(path.parts[-3] for path in folder.glob(f"{SMALL_RUNS}/*/split1/model.json"))
