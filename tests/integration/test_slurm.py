"""The workflow on a real Slurm: through both profiles, and when jobs fail or are cancelled."""

import csv
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from slurm_runs import jobs_of, queued, run, start, uncomment

from helpers import edit, small_project, snakemake, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]

EPOCHS = 6


def small_workflow(folder: Path, **spec) -> Path:
    """Return a small project whose profiles name the partitions; `spec` is of its training."""
    small_project(folder, lambda c: c["spec"]["train"].update(spec), "{cls}_{index}.mp4")
    uncomment(folder / "profiles/slurm/profile.yaml", "slurm_partition: cpu")
    uncomment(folder / "profiles/slurm/profile.yaml", "slurm_partition: gpu")
    return folder


class Brake(threading.Thread):
    """Halts each training in a folder after an epoch of its own, as if it took for ever."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.status = folder / "results/small/experiments/rgb_2d/split1/train/status.json"
        self.folder, self.halted, self.released = folder, 0, False
        self.start()

    def run(self) -> None:
        while not self.released:
            for process in trainings(self.folder):
                self.halt_after_an_epoch(process)
            time.sleep(0.05)

    def halt_after_an_epoch(self, process: psutil.Process) -> None:
        try:
            if process.status() == psutil.STATUS_STOPPED:
                return
            before = self.latest()
            while self.latest() == before and process.is_running():
                time.sleep(0.01)
            process.suspend()
            self.halted += 1
        except psutil.NoSuchProcess:
            return

    def latest(self) -> str | None:
        """Return the name of the checkpoint that a training would go on from."""
        link = self.status.with_name("ar_model_latest.pth")
        return str(link.readlink()) if link.is_symlink() else None


def trainings(folder: Path) -> list[psutil.Process]:
    """Return the native engine's trainings that run in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if "actionrec.native" in process.cmdline() and process.cwd() == str(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def overtime(slurm, tmp_path_factory):
    """Start a training that exceeds its limit of one minute, which the other tests wait out.

    The next attempt may take an hour: it must still run when they are done.
    """
    folder = small_workflow(tmp_path_factory.mktemp("overtime") / "flow", num_epochs=EPOCHS)
    profile = folder / "profiles/cluster-generic/profile.yaml"
    text = profile.read_text()
    profile.write_text(
        text.replace("train_model: &gpu\n", "train_model: &gpu\n    runtime: 60 ** (attempt - 1)\n")
    )
    brake = Brake(folder)
    # Jobs that are being asked about are not cancelled by an interrupt: ask seldom.
    process = start(folder, "cluster-generic", "--seconds-between-status-checks", "4", "train")
    yield folder, brake, process
    brake.released = True
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def test_the_slurm_profile_runs_everything_to_the_end(overtime, tmp_path, mount_disk):
    """The frames lie on another volume, and are copied for each experiment."""
    folder = small_workflow(tmp_path / "flow")
    (mount_disk("size=64m") / "big").mkdir()
    (folder / "resources").symlink_to(tmp_path / "disk/big")
    edit(folder / "config/config.yaml", lambda c: c["splits"].update(links="copy"))
    code, said = run(folder, "slurm")
    assert code == 0, said[-6000:]
    results = folder / "results/small/experiments/rgb_2d/split1"
    assert json.loads((results / "metrics.json").read_text())["videos"] == 4
    assert (results / "export/model.onnx").stat().st_size > 0
    with (folder / "results/small/summary.csv").open() as file:
        assert [row["experiment"] for row in csv.DictReader(file)] == ["rgb_2d"]
    assert len(list((tmp_path / "disk/big/small/frames").glob("*/*/rgb/000001.png"))) == 16
    assert not any(path.is_symlink() for path in (results / "data").rglob("*"))

    jobs = {re.match("rule_(.+?)(_wildcards|$)", j["Comment"])[1]: j for j in jobs_of(folder)}
    gpu_rules = {"train_model", "predict_videos", "evaluate_model", "export_model"}
    gpu_rules |= {"explain_predictions"}
    cpu_rules = {"extract_frames", "summarise_dataset", "describe_export", "verify_export"}
    assert set(jobs) == cpu_rules | gpu_rules, "others are local"
    for rule, job in jobs.items():
        where = ("gpu", "gres:gpu:1") if rule in gpu_rules else ("cpu", None)
        assert (job["Partition"], job.get("TresPerJob")) == where
    train = jobs["train_model"]
    assert (train["TimeLimit"], train["MinMemoryNode"]) == ("12:00:00", "16000M")
    assert jobs["extract_frames"]["NumCPUs"] == "2"


def test_the_generic_profile_tells_a_failure_and_then_trains_from_scratch_space(
    overtime, tmp_path, monkeypatch
):
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "local"))
    folder = small_workflow(tmp_path / "flow", optim={"lr": 4e9, "lr_steps": [1]})
    profile = folder / "profiles/cluster-generic/profile.yaml"
    uncomment(profile, "scratch: $TMPDIR")
    profile.write_text(profile.read_text().replace("$TMPDIR", "$NODE_DISK"))
    code, said = run(folder, "cluster-generic", "train", "--retries", "0")
    assert code == 1
    assert "The loss is nan" in said or "The loss is inf" in said
    assert re.search(r"Slurm job \d+ ended as FAILED", said)

    edit(folder / "config/config.yaml", lambda c: c["spec"]["train"]["optim"].update(lr=0.001))
    code, said = run(folder, "cluster-generic", "train")
    assert code == 0, said[-6000:]
    names = Counter(job["JobName"] for job in jobs_of(folder))
    made = {"extract_frames": 2, "summarise_dataset": 1, "train_model": 2}
    assert names == made, "the frames are not made again"
    log = (folder / "logs/small/train_model/rgb_2d.split1.log").read_text()
    assert f"to {tmp_path}/local/actionrec-" in log
    assert list((tmp_path / "local").iterdir()) == []


def ranks_on(folder: Path, node: str) -> list[psutil.Process]:
    """Return the processes of a training in a folder that compute on a node of Slurm."""
    found = []
    for process in trainings(folder):
        with suppress(psutil.Error):
            here = process.environ()
            if "RANK" in here and here.get("SLURMD_NODENAME") == node:
                found.append(process)
    return found


@pytest.mark.thorough
def test_a_training_of_two_nodes_resumes_after_one_was_lost(slurm, tmp_path, monkeypatch):
    """Both count: each has half of the clips, and only the first one writes."""
    monkeypatch.setenv("ACTIONREC_BACKEND", "gloo")
    folder = small_workflow(tmp_path / "flow", num_nodes=2, num_epochs=5)
    train = folder / "results/small/experiments/rgb_2d/split1/train"
    made = ("specs/train.yaml", "split.tsv", "data")
    snakemake(folder, "--cores", "2", *(str(train.relative_to(folder).parent / m) for m in made))
    process = start(folder, "slurm", "train")
    wait_for((train / "ar_model_latest.pth").exists, 200)
    (lost,) = ranks_on(folder, "node2")
    lost.kill()
    assert process.wait(timeout=200) == 0, (folder / "said.txt").read_text()[-6000:]
    first, second = (job for job in jobs_of(folder) if "train_model" in job["Comment"])
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert (second["NumNodes"], second["TresPerNode"]) == ("2", "gres:gpu:1")


def test_a_partition_that_is_not_there_is_named(slurm, tmp_path):
    folder = small_workflow(tmp_path / "flow")
    profile = folder / "profiles/slurm/profile.yaml"
    profile.write_text(profile.read_text().replace("slurm_partition: cpu", "slurm_partition: cqu"))
    code, said = run(folder, "slurm", "--retries", "0", "results/small/tables/frames/wave.tsv")
    assert code == 1
    assert "invalid partition specified: cqu" in said


def test_time_limit_interrupt_and_scancel_lose_no_epoch(overtime):
    """Each training is halted after an epoch; the next resumes with the one after it."""
    folder, brake, first = overtime
    wait_for(lambda: brake.halted == 2 or first.poll() is not None, 300)
    assert first.poll() is None, (folder / "said.txt").read_text()[-6000:]
    limits = {job["JobState"]: job["TimeLimit"] for job in jobs_of(folder)}
    assert limits["TIMEOUT"] == "00:01:00"
    assert limits["RUNNING"] == "01:00:00"
    os.killpg(first.pid, signal.SIGINT)
    assert first.wait(120) != 0
    assert re.search(r"Slurm job \d+ ended as TIMEOUT", (folder / "said.txt").read_text())
    wait_for(lambda: not queued(folder) and not trainings(folder), 30)

    second = start(folder, "slurm", "--retries", "0", "train")
    wait_for(lambda: brake.halted == 3 or second.poll() is not None, 120)
    (job,) = queued(folder)
    subprocess.run(["scancel", job], check=True)
    assert second.wait(120) == 1
    said = (folder / "said.txt").read_text()
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in said
    wait_for(lambda: not trainings(folder), 30)

    brake.released = True
    code, said = run(folder, "cluster-generic", "train")
    assert code == 0, said[-6000:]
    with (folder / "results/small/experiments/rgb_2d/split1/history.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(EPOCHS))
    assert brake.status.read_text().count("Resuming training") == 3
