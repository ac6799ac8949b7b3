"""Kills: kill -9 of any process of a run at any time; the next run makes what was to be made.

The moments are drawn from a seed, which is printed: ACTIONREC_FAULTS_SEED=... repeats them. Without
it the seed is the day: `make test` kills one job each day, and `make faults` those of
all rules.
"""

import hashlib
import http.server
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.parse import urlsplit

import psutil
import pytest
import torch
import yaml

from faults import table
from faults.table import Fault, Scene
from helpers import (
    REPOSITORY,
    clone,
    edit,
    path_with_trtexec,
    small_project,
    snakemake,
    wait_for,
    write_video,
)

pytestmark = pytest.mark.slow
thorough = pytest.mark.thorough

AREA = "kills"
SEED = int(os.environ.get("ACTIONREC_FAULTS_SEED", f"{date.today():%Y%m%d}"))
RUN = "results/small/experiments/rgb_2d/split1"
EQUAL = "equal to an undisturbed run"
WEIGHTS = "resources/pretrained/ngc/nvidia/tao/m/v1/weights.pth"

# Every rule with a job that takes longer than a second, by the project that has it: what it makes.
SMALL = {
    "link_class": "results/small/tables/videos/wave.tsv",
    "extract_frames": "results/small/tables/frames/wave.tsv",
    "extract_flow": "results/small/tables/flow/wave.tsv",
    "make_split": f"{RUN}/split.tsv",
    "link_split": f"{RUN}/data",
    "render_spec": f"{RUN}/specs/train.yaml",
    "train_model": f"{RUN}/model.pth",
    "predict_videos": f"{RUN}/predictions.csv",
    "evaluate_model": f"{RUN}/metrics.json",
    "explain_predictions": f"{RUN}/explanations.json",
    "export_model": f"{RUN}/export/model.onnx",
    "convert_fp16": f"{RUN}/export/model.fp16.onnx",
    "describe_export": f"{RUN}/export/model.json",
    "verify_export": f"{RUN}/export/verification.json",
    "package_deepstream": f"{RUN}/export/deepstream",
    "package_triton": f"{RUN}/export/triton",
    "build_engine": f"{RUN}/export/tensorrt",
    "predict_new": f"{RUN}/predicted/predictions.csv",
    "gather_new": f"{RUN}/predicted/predictions.csv",
    "summarise_dataset": "results/small/dataset.json",
    "write_dataset_page": "results/small/dataset.html",
    "summarise_experiments": "results/small/summary.csv",
    "describe_run": f"{RUN}/report.json",
    "write_report": "results/small/report.html",
}
SERVED = {
    "download_archive": "resources/served/archives/set.zip",
    "unpack_class": "results/served/tables/videos/wave.tsv",
    "unpack_splits": "resources/served/splits/wave_test_split1.txt",
    "download_pretrained": WEIGHTS,
    "fetch_pretrained": "resources/pretrained/served/one.split1.rgb.pth",
}
DEMO = {"generate_demo": "resources/demo/archives/demo_videos.rar"}
# The others, and why their jobs are not killed here.
OTHERS = {
    "render_trial, rank_trials": "of a sweep with a budget: they write a spec and a table",
    "list_table, list_shad": "they write tables, by the same functions as the other rules",
    "record_run": "MLflow writes by itself",
    "encrypt_onnx": "it takes the environment of NVIDIA's encryption",
    "pull_image": "it takes Apptainer and a registry: tests/integration",
    "gather_frames": "it writes a table, by the same function as extract_frames",
    "fetch_class, fetch_videos, fetch_list": "they take an object store or a web server",
    "publish_run, publish_dataset": "they take an object store, which has a file whole or not",
    "preflight, ngc_models": "they write nothing",
}


# The rules that the short form chooses from, with the longest time from a job's start to its kill.
BRIEF = {"link_class": 0.3, "extract_frames": 1.0}

Project = tuple[Path, dict[str, str]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return a project that was run without a disturbance, and what its files then held."""
    folder = small_project(tmp_path_factory.mktemp("kills") / "small")
    for index in range(4):
        write_video(folder / f"new/{index}.mp4", 8, fourcc="mp4v")

    def choose(config: dict) -> None:
        config["spec"]["train"].update(num_epochs=6)
        tensorrt = {"precision": "fp32", "batch": [1, 2, 4]}
        config["export"].update(
            precision="fp16", deepstream="9.1", triton="onnx", tensorrt=tensorrt
        )
        config["predict"] = {"videos": "new"}

    edit(folder / "config/config.yaml", choose)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path_with_trtexec())
        snakemake(folder, "--cores", "2", "all", SMALL["extract_flow"])
        yield folder, dict(contents(folder))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project of which no more than the frames of one class was made."""
    folder = small_project(tmp_path_factory.mktemp("kills") / "images")
    snakemake(folder, "--cores", "2", SMALL["extract_frames"])
    return folder, dict(contents(folder))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return the demo, of which no more than its archives was made."""
    folder = clone(tmp_path_factory.mktemp("kills") / "demo")
    snakemake(folder, "--cores", "2", *DEMO.values())
    return folder, dict(contents(folder))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return a project of archives and weights that come from slow servers."""
    folder = clone(tmp_path_factory.mktemp("kills") / "served")
    classes, weights = ["wave", "clap"], random.Random(1).randbytes(10**6)
    site = folder.parent / "site"
    video = write_video(site / "video.avi", 90, 320, 240).read_bytes()
    names = {cls: [f"{cls}_{index}.avi" for index in range(40)] for cls in classes}
    with zipfile.ZipFile(site / "set.zip", "w") as zipped:
        for cls, videos in names.items():
            for index, name in enumerate(videos):
                zipped.writestr(f"{cls}/{name}", video + f"{cls} {index}".encode())
    with zipfile.ZipFile(site / "lists.zip", "w") as zipped:
        for cls, videos in names.items():
            for number in (1, 2, 3):
                lines = [f"{name} {1 + index % 2}\n" for index, name in enumerate(videos)]
                zipped.writestr(f"{cls}_test_split{number}.txt", "".join(lines))
    with serving_slowly() as (address, files):
        for name in ("set.zip", "lists.zip"):
            files[f"/{name}"] = (site / name).read_bytes()
        listed = {"modelFiles": [{"path": "weights.pth", "sizeInBytes": len(weights)}]}
        files["/v2/models/nvidia/tao/m/versions/v1/files"] = json.dumps(listed).encode()
        files["/v2/models/nvidia/tao/m/versions/v1/files/weights.pth"] = weights
        files["/weights.pth"] = weights
        archives = {
            role: {"file": name, "urls": [f"{address}/{name}"]}
            for role, name in (("videos", "set.zip"), ("splits", "lists.zip"))
        }
        by_url = {"url": f"{address}/weights.pth", "sha256": hashlib.sha256(weights).hexdigest()}
        by_ngc = {"ngc": "nvidia/tao/m:v1", "file": "weights.pth"}
        config = {
            "dataset": {
                "name": "served",
                "source": "archives",
                "classes": classes,
                "archives": archives,
            },
            "splits": {"method": "official"},
            "spec": {"model": {"input_height": 32, "input_width": 32}},
            "experiments": {"one": {"pretrained": by_url}, "two": {"pretrained": by_ngc}},
        }
        (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NGC_CLI_API_URL", address)
            for name in ("NGC_API_KEY", "NGC_CLI_API_KEY"):
                patch.delenv(name, raising=False)
            snakemake(folder, "--cores", "2", *SERVED.values())
            yield folder, dict(contents(folder))


class Slow(http.server.BaseHTTPRequestHandler):
    """Give files in twenty pieces within two seconds, from where a request begins."""

    files: ClassVar[dict[str, bytes]] = {}

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        content = self.files.get(urlsplit(self.path).path)
        if content is None:
            self.send_error(404)
            return
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(start[1]) if start else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        piece = -(-len(content) // 20)
        with suppress(OSError):  # whoever reads was killed
            for at in range(begin, len(content), piece):
                self.wfile.write(content[at : at + piece])
                time.sleep(0.1)


@contextmanager
def serving_slowly() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield a server's address, and its files by path, to be filled."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", Slow.files
        server.shutdown()


# What is compared, where it is there, next to tables, frames, videos and archives.
COMPARED = (
    *("predictions.csv", "metrics.json", "model.json", "explanations.json", "history.csv"),
    *("export/labels.txt", "export/model.json", "export/verification.json"),
    "predicted/predictions.csv",
)
TIMES = re.compile(r'"(videos_per_second|latency_ms)": [0-9.]+')  # which no two runs share


def contents(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what must be equal in every run: tables, images, weights, metrics, predictions."""
    results, resources = folder / "results", folder / "resources"
    patterns = ("*.png", "*.jpg", "*.avi", "*.rar", "*.zip", "*_split?.txt", "*.pth")
    found = [path for pattern in patterns for path in resources.rglob(pattern)]
    for path in sorted([*results.rglob("*.tsv"), *found]):
        if path.name != "done.tsv":
            yield str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()
    for run in results.glob("*/experiments/*/split*"):
        for name in COMPARED:
            if (run / name).exists():
                yield f"{run.name}/{name}", TIMES.sub("", (run / name).read_text())
        if (run / "model.pth").exists():
            state = torch.load(run / "model.pth", weights_only=True)["state_dict"]
            for name, tensor in state.items():
                yield name, hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


class Killed(Scene):
    """A run that remakes what one rule makes, and a second one after the first was killed."""

    rule, target, project = "train_model", SMALL["train_model"], "small"
    longest = 3.0  # seconds from the start of a job to its kill

    def prepare(self) -> None:
        self.folder, self.undisturbed = self.request.getfixturevalue(self.project)
        self.random = random.Random(f"{SEED} {self.request.node.name}")
        print(f"ACTIONREC_FAULTS_SEED={SEED}")

    def act(self) -> str:
        wait_for(lambda: not table.processes_of(self.folder), 60)
        if list(self.folder.glob(".snakemake/locks/*")):  # Snakemake was killed, too
            snakemake(self.folder, "--unlock")
        said = snakemake(self.folder, "--cores", "2", self.target)
        found = dict(contents(self.folder))
        differing = [n for n in self.undisturbed | found if self.undisturbed.get(n) != found.get(n)]
        return f"{said}\n{differing or EQUAL}"

    def kept(self) -> dict[str, str]:
        """Return nothing: the results are compared by `act`."""
        return {}

    def kill(
        self, victims: Callable[[psutil.Process, psutil.Process], list[psutil.Process]]
    ) -> None:
        """Start a run, and kill what `victims` returns of Snakemake and the job, at some moment."""
        delay = self.random.uniform(0, self.longest)
        while True:
            command = [sys.executable, "-m", "snakemake", "--cores", "1"]
            run = psutil.Popen(
                [*command, "--forcerun", self.rule, "--", self.target],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            job = wait_for(lambda run=run: job_of(run, self.rule) or run.poll() is not None, 120)
            assert job is not True, f"no job of {self.rule} was seen"
            end = time.monotonic() + delay
            while time.monotonic() < end and job.is_running():
                time.sleep(0.02)
            if job.is_running():
                for victim in victims(run, job):
                    victim.send_signal(signal.SIGKILL)
                run.wait(120)
                return
            run.wait(120)
            delay /= 2  # the job was quicker: earlier


def job_of(run: psutil.Process, rule: str) -> psutil.Process | None:
    """Return the process that runs a rule's script, if there is one."""
    try:
        for child in run.children(recursive=True):
            command = child.cmdline()
            is_python = bool(command) and "python" in Path(command[0]).name
            if is_python and any(f".{rule}.py" in word for word in command[1:3]):
                return child
    except psutil.Error:
        return None
    return None


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


WHO = {
    "the job": lambda run, job: [job],
    "Snakemake alone": lambda run, job: [run],
    "Snakemake with all its processes": lambda run, job: tree(run),
    "all processes of the job": lambda run, job: tree(job),
}


def killed(rule: str, who: str, project: str = "small") -> Fault:
    target = {**SMALL, **SERVED, **DEMO}[rule]
    scene = type(f"Killed_{rule}", (Killed,), {"rule": rule, "target": target, "project": project})
    return Fault(
        f"{who} is killed in {rule}" if "all" not in who else f"{who} are killed in {rule}",
        "kill -9 at a random moment",
        scene,
        lambda scene: scene.kill(WHO[who]),
        EQUAL,
        "weights, metrics, tables, frames, predictions",
    )


class ChangedAfterKill(Killed):
    """A training whose spec is changed after it was killed."""

    def act(self) -> str:
        train = self.folder / RUN / "train"
        snakemake(self.folder, "--unlock")
        assert yaml.safe_load((train / "spec.yaml").read_text())["dataset"]["workers"] == 0
        edit(self.config, lambda c: c["spec"]["dataset"].update(workers=1))
        snakemake(self.folder, "--cores", "2", SMALL["train_model"])
        assert yaml.safe_load((train / "spec.yaml").read_text())["dataset"]["workers"] == 1
        resumed = "Resuming training" in (train / "status.json").read_text()
        edit(self.config, lambda c: c["spec"]["train"].update(num_epochs=2))
        snakemake(self.folder, "--cores", "2", SMALL["train_model"])
        again = "Resuming training" not in (train / "status.json").read_text()
        epochs = json.loads((self.folder / RUN / "model.json").read_text())["epochs"]
        return f"resumed: {resumed}, from the beginning: {again}, epochs: {epochs}"

    @property
    def config(self) -> Path:
        return self.folder / "config/config.yaml"

    def kill_after_an_epoch(self) -> None:
        """Train longer, and kill everything when there are two checkpoints."""
        edit(self.config, lambda c: c["spec"]["train"].update(num_epochs=60))
        command = [sys.executable, "-m", "snakemake", "--cores", "2", SMALL["train_model"]]
        run = psutil.Popen(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        train = self.folder / RUN / "train"
        wait_for(lambda: len(list(train.glob("model_epoch_*_step_*.pth"))) >= 2, 120)
        edit(self.config, lambda c: c["spec"]["train"].update(num_epochs=60))
        for process in tree(run):
            process.kill()
        run.wait()


FAULTS = [
    *(killed(rule, "the job") for rule in SMALL),
    *(killed(rule, "the job", "served") for rule in SERVED),
    *(killed(rule, "the job", "demo") for rule in DEMO),
    killed("train_model", "Snakemake alone"),
    killed("train_model", "Snakemake with all its processes"),
    killed("extract_frames", "Snakemake alone"),
    killed("export_model", "all processes of the job"),
    killed("predict_new", "Snakemake with all its processes"),
    killed("unpack_class", "Snakemake with all its processes", "served"),
    Fault(
        "a killed training, then a setting that changes no result, then one that does",
        "kill -9 of everything after two epochs",
        ChangedAfterKill,
        ChangedAfterKill.kill_after_an_epoch,
        "resumed: True, from the beginning: True, epochs: 2",
        "checkpoints, as long as they are of the same training",
    ),
]

test_fault = thorough(table.test_of(FAULTS))


def test_a_job_is_killed_at_a_moment_of_the_day(tmp_path, request):
    """Kill who is drawn, in a rule that is drawn: the short form of the table above."""
    draw = random.Random(SEED)
    rule, who = draw.choice(sorted(BRIEF)), draw.choice(sorted(WHO))
    print(f"ACTIONREC_FAULTS_SEED={SEED}: {who} in {rule}")
    fault = killed(rule, who, "images")
    fault.scene.longest = BRIEF[rule]
    table.check(fault, tmp_path, request)


def test_each_rule_is_killed_or_named_with_the_reason():
    texts = [path.read_text() for path in (REPOSITORY / "workflow/rules").rglob("*.smk")]
    rules = {
        r for text in texts for r in re.findall(r"rule (\w+):\n(?:(?!rule ).)*?script:", text, re.S)
    }
    others = {rule for names in OTHERS for rule in names.split(", ")}
    assert rules == {*SMALL, *SERVED, *DEMO} | others
    assert not others & {*SMALL, *SERVED, *DEMO}
