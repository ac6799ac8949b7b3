"""The workflow's plans: every shipped configuration, targets, profiles, and what is refused."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from actionrec.config import sweeps
from helpers import REPOSITORY, clone, edit, planned, snakemake

CONFIGS = sorted(path.name for path in (REPOSITORY / "config").glob("*.yaml"))


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Return a clone of the workflow in which nothing has been run."""
    return clone(tmp_path_factory.mktemp("plan"))


@pytest.mark.parametrize("config", CONFIGS)
def test_every_configuration_dry_runs(plan, config, tmp_path):
    content = yaml.safe_load((plan / "config" / config).read_text())
    for experiment in content["experiments"].values():
        if weights := ((experiment or {}).get("pretrained") or {}).get("path"):
            (plan / weights).parent.mkdir(parents=True, exist_ok=True)
            (plan / weights).touch()
    provide_dataset(content["dataset"], tmp_path)
    (tmp_path / config).write_text(yaml.safe_dump(content))
    jobs = planned(plan, "--configfile", str(tmp_path / config))
    experiments = sweeps.expand(content["experiments"])
    runs = len(experiments) * len(content["splits"].get("numbers", [1]))
    assert jobs["train_model"] == jobs["evaluate_model"] == jobs["export_model"] == runs
    assert jobs["extract_frames"] == len(content["dataset"]["classes"])
    assert jobs.get("extract_flow", 0) == len(classes_with_flow(content))


def provide_dataset(dataset, folder: Path) -> None:
    """Let what a configuration says of a user's own dataset be in a folder."""
    if dataset["source"] == "folder":
        dataset["path"] = str(folder)
        for cls in dataset["classes"]:
            (folder / cls).mkdir(parents=True)
    elif dataset["source"] == "table":
        dataset |= {"path": str(folder / "clips.csv"), "videos": str(folder)}
        (folder / "clips.csv").touch()
    elif dataset["source"] == "shad":
        dataset["path"] = str(folder)
        (folder / "Walk-train/video").mkdir(parents=True)


def classes_with_flow(content) -> set[str]:
    """Return the classes of the experiments that look at motion."""
    classes = set()
    for experiment in content["experiments"].values():
        experiment = experiment or {}
        model = content["spec"]["model"] | experiment.get("spec", {}).get("model", {})
        if model["model_type"] != "rgb":
            classes.update(experiment.get("classes", content["dataset"]["classes"]))
    return classes


def test_a_configuration_replaces_the_demo_whole(plan):
    """The demo's experiments must not slip into the user's."""
    content = yaml.safe_load((plan / "config/hmdb51_2class.yaml").read_text())
    jobs = planned(plan, "--configfile", "config/hmdb51_2class.yaml")
    assert jobs["train_model"] == len(content["experiments"])


@pytest.mark.parametrize("target", ["dataset", "train", "evaluate", "export", "summary"])
def test_targets_by_name(plan, target):
    assert target in planned(plan, target)


def test_the_module_entry_dry_runs(plan):
    assert planned(plan, "-s", "workflow/Snakefile")["train_model"] == 2


def test_several_machines_for_a_training_are_refused_in_a_plan_without_slurm(plan, tmp_path):
    mine = tmp_path / "mine.yaml"
    shutil.copy(plan / "config/config.yaml", mine)
    edit(mine, lambda c: c["spec"].update(train={"num_nodes": 2}))
    options = ("--configfile", str(mine))
    assert planned(plan, "--workflow-profile", "profiles/slurm", *options)["train_model"] == 2
    assert "train_model" not in planned(plan, "dataset", *options)
    said = snakemake(plan, "-n", "train", *options, check=False)
    assert "Only Slurm starts a task on several machines" in said
    assert "train.num_nodes" in said and "found:   2 machines" in said


def test_an_image_is_pulled_once_where_a_runner_wants_a_file(plan, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text((plan / "config/config.yaml").read_text())
    edit(mine, lambda c: c["tao"].update(runner="apptainer", image="example.org/tao:1"))
    jobs = planned(plan, "--configfile", str(mine))
    assert (jobs["pull_image"], jobs["train_model"]) == (1, 2)
    assert "pull_image" not in planned(plan)


def test_a_misspelt_key_stops_the_plan_with_one_message(plan, tmp_path):
    shutil.copy(plan / "config/config.yaml", tmp_path / "mine.yaml")
    edit(tmp_path / "mine.yaml", lambda c: c["spec"]["model"].update(bakbone="resnet_18"))
    said = snakemake(plan, "-n", "--configfile", str(tmp_path / "mine.yaml"), check=False)
    assert "bakbone" in said
    assert "did you mean 'backbone'?" in said
    assert f"snakemake -n --configfile {tmp_path}/mine.yaml" in said, "not the demo's"
    assert "Traceback" not in said


def test_a_network_that_cannot_be_is_refused_when_planning(plan, tmp_path):
    shutil.copy(plan / "config/config.yaml", tmp_path / "mine.yaml")
    edit(tmp_path / "mine.yaml", lambda c: c["spec"]["model"].update(backbone="i3d"))
    said = snakemake(plan, "-n", "--configfile", str(tmp_path / "mine.yaml"), check=False)
    assert "too short or too small for the backbone i3d" in said
    assert "found:   8" in said


def test_new_videos_are_looked_for_when_their_predictions_are_wanted(plan, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({"predict": {"videos": str(tmp_path / "new")}}))
    options = ("--configfile", "config/config.yaml", str(mine))
    assert "predict_new" not in planned(plan, "dataset", *options)
    said = snakemake(plan, "-n", "predict", *options, check=False)
    assert "There is no such video" in said


def test_two_datasets_share_no_file(plan, tmp_path):
    """Not even results and fetched weights of experiments of one name."""
    made = []
    for name in ("one", "two"):
        provide_dataset(dataset := {"source": "folder", "classes": ["a", "b"]}, tmp_path / name)
        content = {
            "dataset": {"name": name, **dataset},
            "splits": {"validation": 0.3},
            "experiments": {"base": None, "tuned": {"pretrained": {"experiment": "base"}}},
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
        said = snakemake(plan, "-n", "--configfile", str(tmp_path / f"{name}.yaml"))
        lines = re.findall(r"^    (?:output|log|benchmark): (.*)$", said, re.MULTILINE)
        made.append({file for line in lines for file in line.split(", ")})
    assert min(map(len, made)) > 50
    assert not made[0] & made[1]


def test_every_stream_has_its_weights_and_training_waits_for_them(plan):
    wanted = "resources/pretrained/demo/joint_2d.split1.of.pth"
    jobs = planned(plan, wanted, "--configfile", "config/demo_flow.yaml")
    assert jobs["fetch_pretrained"] == jobs["train_model"] == 1
