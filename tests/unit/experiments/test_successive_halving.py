"""Budgets: trials are ranked by what files say, and only by that."""

import json
import os
from itertools import permutations

import pytest
import yaml

from actionrec.config import sweeps
from actionrec.config.load import checked
from actionrec.errors import InputError
from actionrec.experiments import successive_halving
from actionrec.spec.load import load_spec, results_dir
from actionrec.spec.render import Run, check_overrides, render_spec
from actionrec.spec.toolkits import NEWEST
from actionrec.utils.tables import read_csv

SWEEP = {"train.optim.lr": [0.001, 0.01, 0.1]}
MEMBERS = ("x-lr_0.001", "x-lr_0.01", "x-lr_0.1")


def budget(epochs=2, keep=1, members=MEMBERS):
    return successive_halving.Budget("x", members, epochs, keep)


def write_trials(results, outcomes):
    """Write the trial.json of experiments of split 1; return the files by experiment."""
    files = {}
    for name, (accuracy, loss) in outcomes.items():
        files[name] = results / name / "split1/trial.json"
        files[name].parent.mkdir(parents=True, exist_ok=True)
        trial = {"epochs": 2, "epoch": 1, "val_acc": accuracy, "val_loss": loss}
        files[name].write_text(json.dumps(trial))
    return files


def test_accuracy_ranks_first_then_loss_then_the_name_and_no_other_order_counts(tmp_path):
    outcomes = {"d": (50.0, 0.1), "c": (50.0, 0.2), "b": (90.0, 3.0), "a": (50.0, 0.2)}
    table, tables = tmp_path / "x/split1/trials.csv", set()
    for order in permutations(write_trials(tmp_path, outcomes).items()):
        successive_halving.rank(dict(order), 2, table)
        tables.add(table.read_text())
    assert len(tables) == 1
    rows = read_csv(table)
    assert [row["experiment"] for row in rows] == ["b", "d", "a", "c"]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    assert [successive_halving.is_stopped(name, table) for name in "abcd"] == [
        True,
        False,
        True,
        False,
    ]


def test_a_trial_without_validation_is_named(tmp_path):
    trials = write_trials(tmp_path, {"a": (50.0, 0.1), "b": (None, None)})
    with pytest.raises(InputError, match=r"not validated[\s\S]*b/split1/trial\.json"):
        successive_halving.rank(trials, 1, tmp_path / "x/split1/trials.csv")
    assert not (tmp_path / "x").exists()


def test_what_is_stopped_stays_so_only_while_what_was_kept_is_there(tmp_path):
    table = tmp_path / "x/split1/trials.csv"
    good, bad, worse = MEMBERS

    def stays_stopped(experiment, **changes):
        return successive_halving.stays_stopped(experiment, budget(**changes), table, trials)

    trials = dict.fromkeys(MEMBERS, tmp_path / "none.json")
    assert not stays_stopped(bad)
    trials = write_trials(tmp_path, {good: (90.0, 0.1), bad: (50.0, 1.0), worse: (10.0, 9.0)})
    successive_halving.rank(trials, 1, table)
    assert stays_stopped(worse)
    assert stays_stopped(worse, members=(*MEMBERS, "new"))
    assert not stays_stopped(good)
    assert not stays_stopped("new", members=(*MEMBERS, "new"))
    assert not stays_stopped(worse, keep=2)
    assert not stays_stopped(worse, members=(bad, worse))
    trials[good].unlink()
    assert not stays_stopped(worse)


def test_a_trials_spec_is_its_trainings_but_for_the_end(tmp_path):
    train, trial = tmp_path / "run/specs/train.yaml", tmp_path / "run/specs/trial.yaml"
    render_spec(
        train,
        "train",
        {"train": {"num_epochs": 6}},
        Run(train.parents[1], ["a", "b"], "val", {}, toolkit=NEWEST, encrypt=False),
    )
    successive_halving.write_trial_spec(train, 2, trial)
    whole, short = load_spec(train), load_spec(trial)
    assert results_dir(short, "train", trial) == tmp_path / "run/trial"
    assert short.native.stop_after == 2
    short.native.stop_after, short.train.results_dir = None, whole.train.results_dir
    assert short == whole
    assert set(yaml.safe_load(trial.read_text())["native"]) == set(whole.native)


def test_each_experiment_of_a_sweep_has_the_sweeps_budget():
    experiments = {
        "plain": None,
        "free": {"sweep": SWEEP},
        "x": {"sweep": SWEEP, "budget": {"epochs": 2, "keep": 1}},
    }
    assert successive_halving.of_experiments(experiments) == dict.fromkeys(MEMBERS, budget())
    assert all("budget" not in (e or {}) for e in sweeps.expand(experiments, "config").values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"experiments": {"sweep": None}}, "A budget is for a sweep"),
        ({"tao": {"runner": "docker"}}, "tao.runner: docker"),
        ({"splits": {"validation": "test"}}, "splits.validation: test"),
        ({"experiments": {"budget": {"epochs": 0, "keep": 1}}}, "experiments.x.budget.epochs"),
        ({"experiments": {"budget": {"epochs": 1}}}, "Missing configuration key 'keep'"),
    ],
)
def test_a_budget_that_cannot_be_kept_to_is_refused(repository, changes, said):
    config = yaml.safe_load((repository / "config/config.yaml").read_text())
    own = {"sweep": SWEEP, "budget": {"epochs": 2, "keep": 1}} | changes.pop("experiments", {})
    config["experiments"] = {"x": {key: value for key, value in own.items() if value}}
    for section, values in changes.items():
        config.setdefault(section, {}).update(values)
    with pytest.raises(InputError) as error:
        checked(config, [])
    assert said in str(error.value)
    assert "experiments.x" in str(error.value)


@pytest.mark.parametrize(
    ("train", "native", "said"),
    [
        ({"num_epochs": 2}, {}, "2 with train.num_epochs: 2"),
        ({"checkpoint_interval_unit": "step"}, {}, "allowed: epoch"),
        ({"validation_interval": 3}, {}, "multiple of train.validation_interval"),
        ({"checkpoint_interval": 4}, {}, "multiple of train.checkpoint_interval"),
        ({}, {"stop_after": 5}, "5 with the budget of x"),
    ],
)
def test_a_training_that_a_trial_cannot_begin_is_refused(train, native, said):
    spec = check_overrides({"train": train}, "mine.yaml", native)
    with pytest.raises(InputError) as error:
        successive_halving.refuse_unfit(budget(), spec, "mine.yaml, experiments.x")
    assert said in str(error.value)
    successive_halving.refuse_unfit(budget(), check_overrides({}, "mine.yaml"), "mine.yaml")


def test_what_is_published_of_a_trial_is_not_older_than_it(tmp_path):
    """Snakemake touches the outputs one by one, and then compares them with the inputs."""
    trial = [tmp_path / name for name in ("trial.pth", "trial.json", "trial.csv")]
    published = [tmp_path / name for name in ("model.pth", "model.json", "history.csv")]
    for path in trial:
        path.write_text('{"file": "a"}')
    spec, ranking = tmp_path / "trial.yaml", tmp_path / "trials.csv"
    files = successive_halving.Trial(spec, *trial, ranking)
    successive_halving.publish_trial(files, *published)
    for second, path in enumerate(published):
        now = 2_000_000_000 + second
        os.utime(path, (now, now))
    assert min(map(os.path.getmtime, published)) >= max(map(os.path.getmtime, trial))
    assert [path.read_text() for path in published[::2]] == [
        path.read_text() for path in trial[::2]
    ]
