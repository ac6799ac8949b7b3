"""The workflow as its users run it: plans, a whole run, and what happens when something changes."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from actionrec.config import sweeps
from actionrec.experiments.status_json import Epoch, read_history, read_records
from helpers import REPOSITORY, clone, edit, small_project, snakemake, write_video

CONFIGS = sorted(path.name for path in (REPOSITORY / "config").glob("*.yaml"))
NOTHING = "Nothing to be done"
DEMO_RUNS = "results/demo/experiments"
SMALL_RUNS = "results/small/experiments"


def planned(folder: Path, *options: str) -> dict[str, int]:
    """Return how many jobs of each rule a dry run would start."""
    text = snakemake(folder, *options, "-n", "-q", "rules")
    if NOTHING in text:
        return {}
    table = text.split("Job stats:")[1].split("total")[0]
    rows = [line.split() for line in table.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


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


def test_the_slurm_profile_and_the_module_entry_dry_run(plan):
    assert planned(plan, "--workflow-profile", "profiles/slurm")["train_model"] == 2
    assert planned(plan, "-s", "workflow/Snakefile")["train_model"] == 2


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
    assert "Traceback" not in said


def test_a_network_that_cannot_be_is_refused_when_planning(plan, tmp_path):
    shutil.copy(plan / "config/config.yaml", tmp_path / "mine.yaml")
    edit(tmp_path / "mine.yaml", lambda c: c["spec"]["model"].update(backbone="i3d"))
    said = snakemake(plan, "-n", "--configfile", str(tmp_path / "mine.yaml"), check=False)
    assert "too short or too small for the backbone i3d" in said
    assert "found:   8" in said


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


def reorder(config):
    """Write keys in another order, and a default down."""
    config["spec"] = dict(reversed(config["spec"].items()))
    config["spec"]["model"] = dict(reversed(config["spec"]["model"].items()))
    config["spec"]["train"]["seed"] = 1234


HARMLESS = {
    "workers": lambda c: c["spec"]["dataset"].update(workers=2),
    "batch sizes of scoring": lambda c: c["spec"].update(
        evaluate={"batch_size": 4}, inference={"batch_size": 2}
    ),
    "W&B": lambda c: c["spec"].update(wandb={"project": "mine", "tags": ["a"]}),
    "CUDA graphs": lambda c: c.update(native={"cuda_graphs": False}),
    "the container": lambda c: c["tao"].update(container={"shm_size": "1g"}),
    "order and a default": reorder,
}

ARTIFACTS = (
    "split.tsv",
    "specs/train.yaml",
    "specs/evaluate.yaml",
    "specs/inference.yaml",
    "specs/export.yaml",
    "train/status.json",
    "model.pth",
    "model.json",
    "history.csv",
    "metrics.json",
    "predictions.csv",
    "export/model.onnx",
    "export/labels.txt",
    "export/model.json",
    "export/verification.json",
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the whole demo once."""
    folder = clone(tmp_path_factory.mktemp("demo"))
    snakemake(folder, "--cores", "2")
    return folder


@pytest.mark.slow
class TestDemo:
    """One run of the demo, then everything that is done to its results."""

    def test_every_artifact_is_at_its_path(self, demo):
        for exp in ("rgb_3d_base", "rgb_3d_ptm"):
            for artifact in ARTIFACTS:
                assert (
                    demo / "results/demo/experiments" / exp / "split1" / artifact
                ).stat().st_size > 0
        for path in ("summary.csv", "report.html", "dataset.json", "dataset.html"):
            assert (demo / "results/demo" / path).stat().st_size > 0
        assert list((demo / "resources/demo/videos/walk").glob("*.avi"))
        assert list((demo / "resources/demo/frames/walk").glob("*/rgb/000001.png"))
        assert not list((demo / "results").rglob("*.previous"))

    def test_the_fine_tuned_model_is_good(self, demo):
        metrics = json.loads((demo / DEMO_RUNS / "rgb_3d_ptm/split1/metrics.json").read_text())
        assert metrics["accuracy"] >= 90
        assert metrics["labels"] == ["fall_floor", "ride_bike"]
        assert metrics["videos"] == sum(map(sum, metrics["confusion_matrix"]))
        assert metrics["evaluate"]["accuracy"] == pytest.approx(metrics["accuracy"], abs=0.01)

    def test_the_summary_has_a_row_an_experiment(self, demo):
        with (demo / "results/demo/summary.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["experiment"] for row in rows] == ["rgb_3d_base", "rgb_3d_ptm"]

    def test_the_report_stands_alone(self, demo):
        page = (demo / "results/demo/report.html").read_text()
        assert page.count("<svg") >= 4
        assert "http" not in page.replace("http://www.w3.org", "")

    def test_the_export_does_what_was_measured(self, demo):
        run = demo / DEMO_RUNS / "rgb_3d_ptm/split1"
        found = json.loads((run / "export/verification.json").read_text())
        metrics = json.loads((run / "metrics.json").read_text())
        assert found["fp32"]["agreement"] == 100
        assert found["fp32"]["accuracy"] == pytest.approx(metrics["accuracy"], abs=0.001)
        assert found["fp32"]["largest_score_difference"] < 1e-5
        # A class that was left out of training is unknown more often than one that was not.
        strange, known = found["left_out"], found["fp32"]
        assert strange["classes"] == ["walk", "run", "push"]
        assert strange["unknown"] / strange["videos"] > known["unknown"] / known["videos"]

    def test_new_videos_are_predicted_and_each_once(self, demo, tmp_path):
        source = sorted((demo / "resources/demo/videos/ride_bike").glob("*.avi"))
        new = tmp_path / "new"
        new.mkdir()
        shutil.copy(source[0], new / "first.avi")
        mine = tmp_path / "mine.yaml"
        predict = {"videos": str(new), "experiments": ["rgb_3d_ptm"]}
        mine.write_text(yaml.safe_dump({"predict": predict}))
        options = ("predict", "--cores", "2", "--configfile", "config/config.yaml", str(mine))
        snakemake(demo, *options)
        table = demo / DEMO_RUNS / "rgb_3d_ptm/split1/predicted/predictions.csv"
        (first,) = csv.DictReader(table.open())
        assert first["label"] in ("ride_bike", "unknown")
        assert NOTHING in snakemake(demo, *options)
        shutil.copy(source[1], new / "second.avi")
        said = snakemake(demo, *options)
        assert "predict_new" in said
        rows = list(csv.DictReader(table.open()))
        assert [Path(row["video"]).name for row in rows] == ["first.avi", "second.avi"]
        assert rows[0] == first
        log = next((demo / "logs/demo/predict_new").glob("*.log")).read_text()
        assert "1 of 2 videos are predicted already" in log

    def test_a_second_run_does_nothing(self, demo):
        assert NOTHING in snakemake(demo, "--cores", "2")

    def test_a_comment_changes_nothing(self, demo):
        with (demo / "config/config.yaml").open("a") as file:
            file.write("\n# a comment\n")
        assert planned(demo) == {}

    def test_a_learning_rate_retrains_its_experiment_alone(self, demo, tmp_path):
        shutil.copy(demo / "config/config.yaml", tmp_path / "lr.yaml")

        def change(config):
            config["experiments"]["rgb_3d_ptm"]["spec"]["train"]["optim"] = {"lr": 0.002}

        edit(tmp_path / "lr.yaml", change)
        jobs = planned(demo, "--configfile", str(tmp_path / "lr.yaml"))
        assert jobs["train_model"] == jobs["render_spec"] == 1
        assert not jobs.keys() & {"extract_frames", "make_split", "unpack_class"}

    def test_the_plan_says_which_settings_have_changed(self, demo, tmp_path):
        shutil.copy(demo / "config/config.yaml", tmp_path / "mine.yaml")

        def change(config):
            config["experiments"]["rgb_3d_ptm"]["spec"]["train"]["optim"] = {"lr": 0.002}
            config["tao"]["checkpoint"] = "last"

        edit(tmp_path / "mine.yaml", change)
        said = snakemake(demo, "-n", "--configfile", str(tmp_path / "mine.yaml"))
        record = f"{DEMO_RUNS}/rgb_3d_ptm/settings.yaml"
        assert said.count(f"The settings of rgb_3d_ptm are not those of {record}:") == 1
        assert said.count("spec.train.optim.lr: 0.003 -> 0.002") == 1
        assert said.count("tao.checkpoint: best -> last") == 2, "of both experiments"
        assert "settings of" not in snakemake(demo, "-n")

    @pytest.mark.parametrize("name", HARMLESS)
    def test_settings_that_change_no_result_make_nothing_again(self, demo, tmp_path, name):
        shutil.copy(demo / "config/config.yaml", tmp_path / "mine.yaml")
        edit(tmp_path / "mine.yaml", HARMLESS[name])
        assert planned(demo, "--configfile", str(tmp_path / "mine.yaml")) == {}

    def test_another_way_to_link_makes_no_model_again(self, demo, tmp_path):
        shutil.copy(demo / "config/config.yaml", tmp_path / "mine.yaml")
        edit(tmp_path / "mine.yaml", lambda c: c["splits"].update(links="copy"))
        assert planned(demo, "--configfile", str(tmp_path / "mine.yaml")) == {"link_split": 2}

    def test_a_spec_that_was_edited_by_hand_is_remade(self, demo):
        spec = demo / DEMO_RUNS / "rgb_3d_ptm/split1/specs/export.yaml"
        before = spec.read_text()
        assert "generated" in before.splitlines()[0].lower()
        spec.write_text(before.replace("crop_smaller_edge: 256", "crop_smaller_edge: 200"))
        said = snakemake(demo, "-n")
        assert f"{spec.relative_to(demo)} is to be remade: it was edited by hand" in said
        snakemake(demo, "--cores", "2", str(spec.relative_to(demo)))
        assert spec.read_text() == before
        assert "train_model" not in planned(demo)

    def test_an_evaluation_mode_retrains_nothing(self, demo, tmp_path):
        shutil.copy(demo / "config/config.yaml", tmp_path / "mode.yaml")
        edit(
            tmp_path / "mode.yaml", lambda c: c["spec"].update(evaluate={"video_eval_mode": "conv"})
        )
        jobs = planned(demo, "--configfile", str(tmp_path / "mode.yaml"))
        assert jobs["evaluate_model"] == 2
        assert not jobs.keys() & {"train_model", "export_model"}

    def test_a_new_video_remakes_its_class(self, demo):
        folder = demo / "resources/demo/videos/walk"
        new = write_video(folder / "A_New_Film_walk_f_nm_np1_ri_goo_0.avi")
        jobs = planned(demo)
        assert jobs["extract_frames"] == 1
        assert "unpack_class" not in jobs
        assert jobs["make_split"] == 1, "only the experiment with this class"
        new.unlink()
        assert planned(demo) == {}

    def test_deleted_frames_are_made_again_and_nothing_is_retrained(self, demo):
        clips = sorted((demo / "resources/demo/frames/fall_floor").iterdir())
        (clips[0] / "rgb/000003.png").unlink()
        shutil.rmtree(clips[1])
        models = {
            path: path.stat().st_ino for path in demo.glob(f"{DEMO_RUNS}/*/split1/train/*.pth")
        }
        assert planned(demo)["extract_frames"] == 1
        said = snakemake(demo, "--cores", "2")
        assert "it is kept" in said
        assert (clips[0] / "rgb/000003.png").exists()
        assert clips[1].exists()
        assert models == {path: path.stat().st_ino for path in models}
        assert planned(demo) == {}

    def test_plans_pictures_and_reports(self, demo):
        assert "extract_frames" in snakemake(demo, "--rulegraph", "mermaid-js")
        assert "model.onnx" in snakemake(demo, "--summary")
        snakemake(demo, "--report", "report.html")
        assert (demo / "report.html").stat().st_size > 100_000


@pytest.fixture
def small(tmp_path):
    """Return a clone with a folder of tiny videos and a configuration that runs in seconds."""
    return small_project(tmp_path / "small")


@pytest.mark.slow
def test_a_folder_of_videos_runs_the_same_dag(small):
    before = sorted(path.name for path in (small / "videos").rglob("*"))
    snakemake(small, "--cores", "2")
    metrics = json.loads((small / SMALL_RUNS / "rgb_2d/split1/metrics.json").read_text())
    assert metrics["labels"] == ["wave", "clap"]
    assert metrics["videos"] == 4
    assert before == sorted(path.name for path in (small / "videos").rglob("*"))

    write_video(small / "videos/wave/another.mov", 8, fourcc="mp4v")
    jobs = planned(small)
    assert jobs["link_class"] == jobs["extract_frames"] == jobs["train_model"] == 1
    (small / "videos/wave/another.mov").unlink()
    assert planned(small) == {}


@pytest.mark.slow
def test_a_budget_lets_the_best_of_a_sweep_train_on_as_if_never_stopped(small):
    """And what it lets is the same for a sweep that grew and one that was begun whole."""
    config, sweep = small / "config/config.yaml", {"train.optim.lr": [0.001, 0.01, 0.1]}

    def begin(content):
        content["spec"]["train"] = {"num_epochs": 4, "optim": {"lr_steps": [1, 3]}}
        content["experiments"] = {"rgb": {"sweep": sweep, "budget": {"epochs": 2, "keep": 1}}}

    edit(config, begin)
    snakemake(small, "--cores", "2")
    best = check_budget(small, members=3)
    assert planned(small) == {}

    def grow(content):
        content["experiments"]["rgb"]["sweep"]["train.optim.lr"].append(0.0001)
        spec = {"train": {"optim": {"lr": float(best.removeprefix("rgb-lr_"))}}}
        content["experiments"]["whole"] = {"spec": spec}

    edit(config, grow)
    models = {path: path.stat().st_ino for path in small.glob(f"{SMALL_RUNS}/*/split1/t*/*.pth")}
    jobs = planned(small)
    assert jobs["train_trial"] == 1, "the new value's"
    assert jobs["train_model"] == 3, "the new value, the kept one, which may now fall, and `whole`"
    snakemake(small, "--cores", "2")
    check_budget(small, members=4)
    assert models == {path: path.stat().st_ino for path in models}
    assert curve_of(small, best, "train") == curve_of(small, "whole", "train")
    assert planned(small) == {}

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
    with (folder / "results/small/summary.csv").open() as file:
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


@pytest.mark.slow
def test_flow_follows_the_frames_and_is_made_again_when_it_is_lost(small):
    def see_flow(config):
        config["spec"]["model"]["model_type"] = "joint"

    edit(small / "config/config.yaml", see_flow)
    split = f"{SMALL_RUNS}/rgb_2d/split1/split.tsv"
    snakemake(small, "--cores", "2", split)
    assert planned(small, split) == {}
    video = sorted((small / "resources/small/frames/wave").iterdir())[0]
    assert len(list((video / "u").iterdir())) == len(list((video / "v").iterdir())) == 7

    before = (small / split).read_bytes()
    shutil.rmtree(video / "v")
    jobs = planned(small, split)
    assert jobs["extract_flow"] == 1
    assert "extract_frames" not in jobs
    snakemake(small, "--cores", "2", split)
    assert len(list((video / "v").iterdir())) == 7
    assert (small / split).read_bytes() == before
    edit(small / "config/config.yaml", lambda c: c.update(flow={"mapping": "fixed"}))
    jobs = planned(small, split)
    assert jobs["extract_flow"] == 2
    assert jobs["make_split"] == 1
    snakemake(small, "--cores", "2", split)
    assert "dis medium fixed opencv" in (small / split).read_text()
