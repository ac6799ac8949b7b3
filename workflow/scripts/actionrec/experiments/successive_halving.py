"""Stop the unpromising experiments of a sweep: successive halving with one rung.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
2016. Every experiment begins with a trial of so many epochs; only the best go on from there. What
is ranked are files, all of them, so that no result depends on which job was done first.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any

import yaml

from actionrec.config import sweeps
from actionrec.errors import InputError
from actionrec.spec.native_keys import NativeConfig
from actionrec.utils import tables
from actionrec.utils.files import replacing, same_file_system_link, write_text

COLUMNS = ("rank", "experiment", "epochs", "epoch", "val_acc", "val_loss", "kept")


@dataclass(frozen=True)
class Budget:
    """After `epochs` only the best `keep` of a sweep's `members` train on, on each split."""

    sweep: str
    members: tuple[str, ...]
    epochs: int
    keep: int


def of_experiments(experiments: Mapping[str, Any]) -> dict[str, Budget]:
    """Return the budget of each experiment under one; `experiments` are as the user wrote them."""
    return {
        member: Budget(sweep, tuple(members), **experiments[sweep]["budget"])
        for sweep, members in sweeps.members(experiments).items()
        if experiments[sweep].get("budget")
        for member in members
    }


def refuse_unfit(budget: Budget, spec: Any, where: str) -> None:
    """Raise `InputError` if an experiment with this spec cannot be judged after the trial's epochs.

    `where` names the experiment in the message.
    """
    train = spec.train
    if budget.epochs >= train.num_epochs:
        raise InputError(
            "A trial must be shorter than the training.",
            where=f"{where}: budget.epochs of {budget.sweep}",
            found=f"{budget.epochs} with train.num_epochs: {train.num_epochs}",
            fix="lower budget.epochs, or remove `budget`",
        )
    if train.checkpoint_interval_unit != "epoch":
        raise InputError(
            "A trial must end with a checkpoint, so they are to be saved by epochs.",
            where=f"{where}: train.checkpoint_interval_unit",
            found=train.checkpoint_interval_unit,
            allowed=["epoch"],
        )
    for key in ("validation_interval", "checkpoint_interval"):
        if budget.epochs % train[key]:
            raise InputError(
                "A trial must end with an epoch that is validated and saved.",
                where=f"{where}: budget.epochs of {budget.sweep}",
                found=f"{budget.epochs} with train.{key}: {train[key]}",
                fix=f"make budget.epochs a multiple of train.{key}",
            )
    if spec.native.stop_after is not None:
        raise InputError(
            "Two settings say when the training is to stop.",
            where=f"{where}: native.stop_after",
            found=f"{spec.native.stop_after} with the budget of {budget.sweep}",
            fix="remove one of the two",
        )


def write_trial_spec(train: Path, epochs: int, trial: Path) -> None:
    """Write the spec of a trial: that of the training, but for where it ends and leaves results."""
    spec = yaml.safe_load(train.read_text(encoding="utf-8"))
    spec["train"]["results_dir"] = str(Path(spec["results_dir"]) / trial.stem)
    spec["native"] = {
        **asdict(NativeConfig()),
        **(spec.get("native") or {}),
        "stop_after": epochs,
    }
    write_text(trial, yaml.safe_dump(spec, sort_keys=False))


def rank(trials: Mapping[str, Path], keep: int, table: Path) -> None:
    """Rank experiments by the models of their trials, best first; the first `keep` train on.

    `trials` are their trial.json by experiment. Higher validation accuracy goes first, then lower
    loss, then the name. Raises `InputError` for a trial without validation.
    """
    ranked = sorted(trials.items(), key=lambda trial: (_demerit(trial[1]), trial[0]))
    rows = [
        {
            **_outcome(file),
            "rank": place,
            "experiment": experiment,
            "kept": "yes" if place <= keep else "no",
        }
        for place, (experiment, file) in enumerate(ranked, start=1)
    ]
    tables.write_csv(table, COLUMNS, rows)


def _outcome(file: Path) -> dict[str, Any]:
    trial = json.loads(file.read_text(encoding="utf-8"))
    return {key: trial[key] for key in ("epochs", "epoch", "val_acc", "val_loss")}


def _demerit(file: Path) -> tuple[float, float]:
    outcome = _outcome(file)
    if outcome["val_loss"] is None:
        raise InputError(
            "A trial was not validated, so nothing says whether it is promising.",
            where=file,
            fix="raise splits.validation, or remove `budget`",
        )
    accuracy = outcome["val_acc"]
    return inf if accuracy is None else -accuracy, outcome["val_loss"]


def is_stopped(experiment: str, table: Path) -> bool:
    """Tell whether a table of trials keeps an experiment from training on."""
    kept = {row["experiment"]: row["kept"] for row in tables.read_csv(table)}
    return kept[experiment] == "no"


def stays_stopped(experiment: str, budget: Budget, table: Path) -> bool:
    """Tell whether what an earlier table stopped stays so, whatever else is tried.

    It does as long as enough of those that were kept are still in the sweep, with their trials:
    others can only come before it.
    """
    if not table.exists():
        return False
    kept = {row["experiment"]: row["kept"] == "yes" for row in tables.read_csv(table)}
    runs, split = table.parents[2], table.parent.name
    before = [
        name
        for name in budget.members
        if kept.get(name) and (runs / name / split / "trial.json").exists()
    ]
    return not kept.get(experiment, True) and len(before) >= budget.keep


def publish_trial(trial: Sequence[Path], published: Sequence[Path]) -> None:
    """Let a trial's model, choice and history be the experiment's: the budget has stopped it."""
    model, choice, history = published
    same_file_system_link(trial[0], model)
    chosen = json.loads(trial[1].read_text(encoding="utf-8"))
    write_text(choice, json.dumps({**chosen, "stopped": "budget"}, indent=2) + "\n")
    # No second link: Snakemake touches the outputs one by one, and the model's, which is also an
    # input's, must not seem older than another input.
    with replacing(history) as part:
        shutil.copyfile(trial[2], part)
