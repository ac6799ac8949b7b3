"""Kills: kill -9 of any process of a run at any time; the next run makes what was to be made.

The moments are drawn from a seed, which is printed: ACTIONREC_FAULTS_SEED=... repeats them.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from faults import table
from faults.table import Fault, Scene
from helpers import edit, small_project, snakemake, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

AREA = "kills"
SEED = int(os.environ.get("ACTIONREC_FAULTS_SEED", "1"))
RUN = "results/small/experiments/rgb_2d/split1"
EQUAL = "equal to an undisturbed run"
LONGEST = 3.0  # seconds from the start of a job to its kill

# Every rule with a job that takes longer than a second, and what it makes.
TARGETS = {
    "link_class": "results/small/tables/videos/wave.tsv",
    "extract_frames": "results/small/tables/frames/wave.tsv",
    "extract_flow": "results/small/tables/flow/wave.tsv",
    "make_split": f"{RUN}/split.tsv",
    "link_split": f"{RUN}/data",
    "render_spec": f"{RUN}/specs/train.yaml",
    "train_model": f"{RUN}/model.pth",
    "predict_videos": f"{RUN}/predictions.csv",
    "evaluate_model": f"{RUN}/metrics.json",
    "export_model": f"{RUN}/export/model.onnx",
    "summarise_dataset": "results/small/dataset.json",
    "write_dataset_page": "results/small/dataset.html",
    "summarise_experiments": "results/small/summary.csv",
    "write_report": "results/small/report.html",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a project that was run without a disturbance, and what its files then held."""
    folder = small_project(tmp_path_factory.mktemp("kills") / "small")
    edit(folder / "config/config.yaml", lambda c: c["spec"]["train"].update(num_epochs=6))
    snakemake(folder, "--cores", "2", "all", TARGETS["extract_flow"])
    return folder, dict(contents(folder))


def contents(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what must be equal in every run: tables, frames, weights, metrics, predictions."""
    results, resources = folder / "results/small", folder / "resources/small"
    for path in sorted([*results.rglob("*.tsv"), *resources.rglob("*.png")]):
        if path.name != "done.tsv":
            yield str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()
    for name in ("predictions.csv", "metrics.json", "model.json", "export/labels.txt"):
        yield name, (folder / RUN / name).read_text()
    state = torch.load(folder / RUN / "model.pth", weights_only=True)["state_dict"]
    for name, tensor in state.items():
        yield name, hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


class Killed(Scene):
    """A run that remakes what one rule makes, and a second one after the first was killed."""

    rule = "train_model"

    def prepare(self) -> None:
        self.folder, self.undisturbed = self.request.getfixturevalue("finished")
        self.random = random.Random(f"{SEED} {self.request.node.name}")
        print(f"ACTIONREC_FAULTS_SEED={SEED}")

    def act(self) -> str:
        wait_for(lambda: not table.processes_of(self.folder), 60)
        snakemake(self.folder, "--unlock")
        said = snakemake(self.folder, "--cores", "2", TARGETS[self.rule])
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
        delay = self.random.uniform(0, LONGEST)
        while True:
            command = [sys.executable, "-m", "snakemake", "--cores", "1"]
            run = psutil.Popen(
                [*command, "--forcerun", self.rule, "--", TARGETS[self.rule]],
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


def killed(rule: str, who: str) -> Fault:
    scene = type(f"Killed_{rule}", (Killed,), {"rule": rule})
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
        snakemake(self.folder, "--cores", "2", TARGETS["train_model"])
        assert yaml.safe_load((train / "spec.yaml").read_text())["dataset"]["workers"] == 1
        resumed = "Resuming training" in (train / "status.json").read_text()
        edit(self.config, lambda c: c["spec"]["train"].update(num_epochs=2))
        snakemake(self.folder, "--cores", "2", TARGETS["train_model"])
        again = "Resuming training" not in (train / "status.json").read_text()
        epochs = json.loads((self.folder / RUN / "model.json").read_text())["epochs"]
        return f"resumed: {resumed}, from the beginning: {again}, epochs: {epochs}"

    @property
    def config(self) -> Path:
        return self.folder / "config/config.yaml"

    def kill_after_an_epoch(self) -> None:
        """Train longer, and kill everything when there are two checkpoints."""
        edit(self.config, lambda c: c["spec"]["train"].update(num_epochs=60))
        command = [sys.executable, "-m", "snakemake", "--cores", "2", TARGETS["train_model"]]
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
    *(killed(rule, "the job") for rule in TARGETS),
    killed("train_model", "Snakemake alone"),
    killed("train_model", "Snakemake with all its processes"),
    killed("extract_frames", "Snakemake alone"),
    killed("export_model", "all processes of the job"),
    Fault(
        "a killed training, then a setting that changes no result, then one that does",
        "kill -9 of everything after two epochs",
        ChangedAfterKill,
        ChangedAfterKill.kill_after_an_epoch,
        "resumed: True, from the beginning: True, epochs: 2",
        "checkpoints, as long as they are of the same training",
    ),
]

test_fault = table.test_of(FAULTS)
