"""Containers in the jobs of a real Slurm: their GPUs, their ends, and where their image is from."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import dockerd
import psutil
import pytest
import registry
from projects import make_project
from slurm_runs import jobs_of, queued, run, start, uncomment

from helpers import edit, snakemake, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slurm")]

EXPERIMENTS = ("first", "second")
SPECS = [f"results/small/experiments/{name}/split1/specs/train.yaml" for name in EXPERIMENTS]
TABLES = [f"results/small/experiments/{name}/split1/data" for name in EXPERIMENTS]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Return a project with two experiments, in which everything is made but what needs a GPU."""
    folder = make_project(tmp_path_factory.mktemp("pair") / "flow")
    edit(
        folder / "config/config.yaml",
        lambda c: c.update(experiments=dict.fromkeys(EXPERIMENTS)),
    )
    snakemake(folder, "--cores", "2", *SPECS, *TABLES)
    return folder


@pytest.fixture
def project(pair, tmp_path):
    """Return a copy of the pair, whose trainings sleep, and with one profile read from scratch."""
    folder = shutil.copytree(pair, tmp_path / "flow", symlinks=True)
    uncomment(folder / "profiles/cluster-generic/profile.yaml", "scratch: $TMPDIR")
    (folder / "misbehave").write_text("sleeps")
    return folder


def gpus_by_job(folder: Path) -> dict[str, str]:
    """Return which GPU of the node Slurm has given each running job."""
    found = {}
    for job in jobs_of(folder):
        if job["JobState"] == "RUNNING":
            command = ["scontrol", "--details", "show", "job", job["JobId"]]
            shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[job["JobId"]] = re.search(r"IDX:(\d+)\)", shown)[1]
    return found


def states(folder: Path, jobs: list[str]) -> list[str]:
    return [job["JobState"] for name in jobs for job in jobs_of(folder) if job["JobId"] == name]


def logs(folder: Path) -> list[str]:
    return [
        log.read_text() if log.exists() else ""
        for log in (folder / f"logs/small/train_model/{name}.split1.log" for name in EXPERIMENTS)
    ]


def both_asleep(folder: Path) -> bool:
    return all("asleep" in log for log in logs(folder))


def finish(folder: Path) -> None:
    """Run what has been stopped, to the end, on copies that the container sees."""
    (folder / "misbehave").unlink()
    code, said = run(folder, "cluster-generic", "train")
    assert code == 0, said[-6000:]
    for spec in SPECS:
        assert (folder / spec).parents[1].joinpath("model.pth").stat().st_size > 0
    assert all(f"to {os.environ['TMPDIR']}/actionrec-" in log for log in logs(folder))


def interrupt(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) != 0


def containers_by_job() -> dict[str, str]:
    """Return the running containers, each by the job in its name."""
    names = dockerd.docker("ps", "--format={{.Names}}").split()
    return {name.rpartition("-slurm")[2]: name for name in names}


def test_docker_has_the_jobs_gpus_and_ends_with_the_job(engine, project):
    """By a time limit, by scancel and by Ctrl-C, whose kills reach no child of Docker's daemon."""
    train = start(project, "slurm", "train")
    wait_for(lambda: both_asleep(project) or train.poll() is not None, 120)
    assert train.poll() is None, (project / "said.txt").read_text()[-6000:]
    first = gpus_by_job(project)
    assert sorted(first.values()) == ["0", "1"]
    said = {job: dockerd.docker("logs", name) for job, name in containers_by_job().items()}
    assert {job: re.search("GPUs (.*)", words)[1] for job, words in said.items()} == first

    overdue, cancelled = first
    update = ["scontrol", "update", f"JobId={overdue}", "EndTime=now"]
    subprocess.run(update, check=True)
    subprocess.run(["scancel", cancelled], check=True)
    wait_for(lambda: len(containers_by_job().keys() - first) == 2, 120)
    assert states(project, list(first)) == ["TIMEOUT", "CANCELLED"]
    assert len(dockerd.containers(project)) == 2, "the second attempts"

    interrupt(train)
    wait_for(lambda: dockerd.containers(project) == [] and not queued(project))
    finish(project)


@pytest.fixture
def images(apptainer_folder, tmp_path_factory, monkeypatch):
    """Serve the stand-in's image from a registry, to an Apptainer that has not seen it yet."""
    monkeypatch.setenv("PATH", f"{apptainer_folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("APPTAINER_CACHEDIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("APPTAINER_NOHTTPS", "true")
    image = registry.Registry(dockerd.root_archive(), dockerd.ENVIRONMENT)
    with registry.running(image):
        yield image


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return what runs in a folder, in a container or not."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_apptainer_pulls_once_for_all_jobs_and_ends_with_each(images, project):
    edit(
        project / "config/config.yaml",
        lambda c: c["tao"].update(runner="apptainer", image=f"{images.address}/nvidia/tao:6-pyt"),
    )
    train = start(project, "cluster-generic", "--retries", "0", "train")
    wait_for(lambda: both_asleep(project) or train.poll() is not None, 120)
    assert train.poll() is None, (project / "said.txt").read_text()[-6000:]
    assert images.downloads() == 1
    (file,) = (project / "resources/images").iterdir()
    assert file.suffix == ".sif"
    given = gpus_by_job(project)
    assert sorted(given.values()) == ["0", "1"]
    assert sorted(re.search("GPUs (.*)", log)[1] for log in logs(project)) == ["0", "1"]

    subprocess.run(["scancel", min(given)], check=True)
    wait_for(lambda: len(queued(project)) == 1)
    interrupt(train)
    wait_for(lambda: not queued(project) and not processes_in(project), 90)
    finish(project)
    assert images.downloads() == 1
    file.unlink()
    assert "Nothing to be done" in snakemake(project, "-n", "train")
