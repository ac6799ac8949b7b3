"""One run of the demo as a user starts it, what happens when something changes, what it teaches."""

import base64
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
import yaml

from actionrec.dataset.split_table import read_split
from actionrec.deploy.cli import main
from actionrec.frames.decoder.video import open_video
from actionrec.sources.demo import FPS, HEIGHT, WIDTH
from helpers import clone, edit, planned, snakemake, write_video

pytestmark = pytest.mark.slow

DEMO_RUNS = "results/demo/experiments"
SEEDS = (1, 2)
NOTHING = "Nothing to be done"


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


def join_test_videos(demo: Path, run: Path, target: Path) -> list[tuple[str, float]]:
    """Join test videos, four of a class in turn; return each part's label and end in seconds."""
    videos = {"fall_floor": [], "ride_bike": []}
    for row in read_split(run / "split.tsv"):
        if row.part == "test":
            videos[row.cls].append(demo / f"resources/demo/videos/{row.cls}/{row.video}.avi")
    parts, frames = [], 0
    with av.open(str(target), "w") as joined:
        stream = joined.add_stream("h264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for first in range(0, 8, 4):
            for label, paths in videos.items():
                for path in paths[first : first + 4]:
                    with open_video(path) as video:
                        for frame in video.frames():
                            picture = av.VideoFrame.from_ndarray(frame.image, format="bgr24")
                            joined.mux(stream.encode(picture))
                            frames += 1
                parts.append((label, frames / FPS))
        joined.mux(stream.encode(None))
    return parts


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

    def test_a_long_video_is_divided_where_its_parts_are_joined(self, demo, tmp_path):
        run, joined = demo / DEMO_RUNS / "rgb_3d_ptm/split1", tmp_path / "joined.mp4"
        parts = join_test_videos(demo, run, joined)
        found = tmp_path / "found.json"
        options = ["--threshold", "0", "--json", "--output", str(found)]
        assert main(["predict", str(run / "export"), str(joined), *options]) == 0
        segments = json.loads(found.read_text())[0]["segments"]
        assert [part["label"] for part in segments] == [label for label, _ in parts]
        ends = [part["end"] for part in segments]
        errors = [abs(end - known) for end, (_, known) in zip(ends, parts, strict=True)]
        assert max(errors) < 1.5, errors
        assert sum(errors) / len(errors) < 0.75, errors

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
        assert f"{spec.relative_to(demo)} will be remade: it was edited by hand" in said
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
        said = snakemake(demo, "train", "--cores", "2")
        assert said.count("it is kept") == 2
        assert (clips[0] / "rgb/000003.png").exists()
        assert clips[1].exists()
        assert models == {path: path.stat().st_ino for path in models}
        assert planned(demo, "train") == {}

    def test_plans_pictures_and_reports(self, demo):
        assert "extract_frames" in snakemake(demo, "--rulegraph", "mermaid-js")
        assert "model.onnx" in snakemake(demo, "--summary")
        snakemake(demo, "--report", "report.html")
        report = (demo / "report.html").read_text()
        for page in ("report.html", "dataset.html", "summary.csv", "comparisons.csv"):
            held = base64.b64encode((demo / "results/demo" / page).read_bytes()).decode()
            assert f"filename={page};base64,{held}" in report


def native(folder: Path, *command: str) -> None:
    """Run the native engine in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "actionrec.native", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "workflow" / "scripts")},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]


def accuracy(status: Path) -> float:
    lines = [json.loads(line) for line in status.read_text().splitlines()]
    return next(line["kpi"]["accuracy"] for line in lines if "accuracy" in line.get("kpi", {}))


@pytest.fixture(scope="module")
def seeds(demo) -> Path:
    """Fine-tune the demo's base from other seeds too."""
    config = yaml.safe_load((demo / "config/config.yaml").read_text())
    tuned = config["experiments"]["rgb_3d_ptm"]
    config["experiments"] |= {f"tuned{seed}": seeded(tuned, seed) for seed in SEEDS}
    (demo / "seeds.yaml").write_text(yaml.safe_dump(config))
    targets = [f"{DEMO_RUNS}/tuned{seed}/split1/metrics.json" for seed in SEEDS]
    snakemake(demo, "--cores", "2", "--configfile", "seeds.yaml", "--", *targets)
    return demo


def seeded(experiment: dict, seed: int) -> dict:
    spec = dict(experiment.get("spec") or {})
    spec["train"] = {**spec.get("train", {}), "seed": seed}
    return {**experiment, "spec": spec}


@pytest.mark.parametrize("seed", SEEDS)
def test_fine_tuning_reaches_90_percent_from_any_seed(seeds, seed):
    metrics = json.loads((seeds / DEMO_RUNS / f"tuned{seed}/split1/metrics.json").read_text())
    assert metrics["videos"] >= 18
    assert metrics["accuracy"] >= 90


def test_shuffled_labels_do_not(seeds, tmp_path):
    """Half of each class's training videos carry the other class's label: nothing to learn."""
    experiment = seeds / DEMO_RUNS / f"tuned{SEEDS[0]}/split1"
    for part in ("train", "val"):
        shuffle(experiment / "data" / part, tmp_path / "data" / part)
    native(
        seeds,
        *("train", "-e", str(experiment / "specs" / "train.yaml")),
        f"results_dir={tmp_path}",
        f"dataset.train_dataset_dir={tmp_path / 'data' / 'train'}",
        f"dataset.val_dataset_dir={tmp_path / 'data' / 'val'}",
    )
    native(
        seeds,
        *("evaluate", "-e", str(experiment / "specs" / "evaluate.yaml")),
        f"results_dir={tmp_path}",
        f"evaluate.checkpoint={tmp_path / 'train' / 'ar_model_latest.pth'}",
    )
    assert accuracy(tmp_path / "evaluate" / "status.json") <= 75


def shuffle(source: Path, target: Path) -> None:
    classes = sorted(path.name for path in source.iterdir())
    for cls, other in (classes, classes[::-1]):
        for index, video in enumerate(sorted((source / cls).iterdir())):
            link = target / (other if index % 2 else cls) / video.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(video.resolve())
