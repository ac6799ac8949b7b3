"""Stop the experiments of a sweep that show no promise: successive halving with one rung.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
2016. Every experiment begins with a trial of a few epochs; only the best resume from there. The
ranking reads files, those of all trials, so that no result depends on which job ended first.

The Snakefile imports this module, so it loads nothing heavy.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from actionrec.config import sweeps
from actionrec.errors import InputError
from actionrec.spec.native_keys import NativeConfig
from actionrec.utils import tables
from actionrec.utils.files import replacing, same_file_system_link, write_text
from actionrec.utils.small_files import DamagedFile, read_object, read_yaml

if TYPE_CHECKING:
    from omegaconf import DictConfig

COLUMNS = ("rank", "experiment", "epochs", "epoch", "val_acc", "val_loss", "kept")


@dataclass(frozen=True)
class Budget:
    """After `epochs` only the best `keep` of a sweep's `members` train on, on each split."""

    sweep: str
    members: tuple[str, ...]
    epochs: int
    keep: int


@dataclass(frozen=True)
class Trial:
    """The files of one trial, and `ranking`, the table of all trials of its sweep on a split."""

    spec: Path
    model: Path
    choice: Path
    history: Path
    ranking: Path


@dataclass(frozen=True)
class Result:
    """How a trial ended: the epochs trained, and the best of them with its validation.

    `val_acc` is in percent, or None where the toolkit does not tell it.
    """

    experiment: str
    epochs: int
    epoch: int
    val_acc: float | None
    val_loss: float

    @property
    def order(self) -> tuple[float, float, str]:
        """Return what results are sorted by, the most promising first; the name breaks ties."""
        accuracy = -inf if self.val_acc is None else self.val_acc
        return -accuracy, self.val_loss, self.experiment


def of_experiments(experiments: Mapping[str, Any]) -> dict[str, Budget]:
    """Return the budget of each experiment under one; `experiments` are as the user wrote them."""
    return {
        member: Budget(sweep, tuple(members), **experiments[sweep]["budget"])
        for sweep, members in sweeps.members(experiments).items()
        if experiments[sweep].get("budget")
        for member in members
    }


def refuse_unfit(budget: Budget, spec: "DictConfig", where: str) -> None:
    """Raise `InputError` if a trial of the budget's epochs cannot begin a training with this spec.

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
            "A trial must end with a checkpoint, so checkpoints must be saved by epochs.",
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


def write_trial_spec(train: Path | str, epochs: int, trial: Path | str) -> None:
    """Write the spec of a trial: the training's, but for where it ends and leaves its results."""
    from actionrec.spec.render import write_generated  # loads OmegaConf

    spec = read_yaml(Path(train))
    spec["train"]["results_dir"] = str(Path(spec["results_dir"]) / Path(trial).stem)
    # Complete, as all specs are, though the training's may name no key of the native engine.
    spec["native"] = {
        **asdict(NativeConfig()),
        **(spec.get("native") or {}),
        "stop_after": epochs,
    }
    write_generated(trial, yaml.safe_dump(spec, sort_keys=False))


def rank(trials: Mapping[str, Path | str], keep: int, table: Path | str) -> None:
    """Rank experiments by the models of their trials, best first; the first `keep` train on.

    `trials` are their trial.json by experiment. Higher validation accuracy goes first, then lower
    loss, then the name. Raises `InputError` for a trial without validation.
    """
    results = [_read_result(experiment, Path(file)) for experiment, file in trials.items()]
    rows = [
        {**asdict(result), "rank": place, "kept": "yes" if place <= keep else "no"}
        for place, result in enumerate(sorted(results, key=lambda result: result.order), start=1)
    ]
    tables.write_csv(table, COLUMNS, rows)


def _read_result(experiment: str, file: Path) -> Result:
    content = read_object(file, "epochs", "epoch", "val_acc", "val_loss")
    if content["val_loss"] is None:
        raise InputError(
            "A trial was not validated, so nothing says whether it is promising.",
            where=file,
            fix="raise splits.validation, or remove `budget`",
        )
    measured = (content[key] for key in ("epochs", "epoch", "val_acc", "val_loss"))
    return Result(experiment, *measured)


def _read_kept(table: Path) -> dict[str, bool]:
    """Return which experiments a table of trials lets train on."""
    rows = tables.read_csv(table, "experiment", "kept")
    return {row["experiment"]: row["kept"] == "yes" for row in rows}


def is_stopped(experiment: str, table: Path) -> bool:
    """Tell whether a table of trials keeps an experiment from training on."""
    kept = _read_kept(table)
    if experiment not in kept:
        raise DamagedFile(table, f"no row of {experiment}")
    return not kept[experiment]


def stays_stopped(experiment: str, budget: Budget, table: Path, trials: Mapping[str, Path]) -> bool:
    """Tell whether what an earlier table stopped stays so, whatever else is tried.

    `trials` are where the trial.json of the sweep's members lie. It stays so as long as enough of
    the experiments that were kept are still in the sweep, with their trials: new members can push
    an experiment down, and none can lift it.
    """
    if not table.exists():
        return False
    kept = _read_kept(table)
    ahead = [name for name in budget.members if kept.get(name) and trials[name].exists()]
    return not kept.get(experiment, True) and len(ahead) >= budget.keep


def publish_trial(trial: Trial, model: Path, choice: Path, history: Path) -> None:
    """Let a trial's model, choice and history be the experiment's: the budget has stopped it."""
    same_file_system_link(trial.model, model)
    content = read_object(trial.choice)
    write_text(choice, json.dumps({**content, "stopped": "budget"}, indent=2) + "\n")
    # No second link: Snakemake touches the outputs one by one, and the model's, which is also an
    # input's, must not seem older than another input.
    with replacing(history) as part:
        shutil.copyfile(trial.history, part)
