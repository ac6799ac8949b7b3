"""Containers: jobs that die in any way, tasks that fail as TAO's do, engines and images that lack.

Entries of the table in tests/faults; they need the engine of this folder.
"""

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import dockerd
import psutil
import pytest
from projects import SPLIT, train

from actionrec import runners
from actionrec.runners import Container, TaskRequest, containers
from faults import table
from faults.table import Fault, Scene
from helpers import start_python, wait_for

pytestmark = pytest.mark.slow

AREA = "containers"
NONE_LEFT = "containers left: []"
DEAD = re.sub(r"[0-9]+$", "1", containers.owner())  # this process's number, at another time

JOB = """
import os, sys
from pathlib import Path
from actionrec import runners
folder = Path(sys.argv[1])
os.chdir(folder)
container = runners.Container(sys.argv[2], mounts=sys.argv[3].split(":"), ulimits={})
spec = folder / "run/specs/train.yaml"
runners.execute(
    "docker",
    runners.TaskRequest(
        ["train", "-e", str(spec)], folder / "work", folder / "log", container=container
    ),
)
"""


def request_of(folder: Path, image: str = dockerd.IMAGE) -> TaskRequest:
    """Return a request for TAO's training in a container."""
    container = Container(image, mounts=dockerd.MOUNTS, ulimits={})
    return TaskRequest(["train"], folder / "work", folder / "log", container=container)


class Job(Scene):
    """A job whose task sleeps in its container."""

    def prepare(self) -> None:
        self.request.getfixturevalue("engine")
        (self.folder / "misbehave").write_text("sleeps")
        (self.folder / "run").mkdir()
        self.log = self.folder / "log"
        self.log.touch()
        self.process = self.start()
        self.request.addfinalizer(self.process.kill)

    def start(self) -> subprocess.Popen:
        """Start a job, and wait until its task is asleep."""
        self.log.write_text("")
        mounts = ":".join(dockerd.MOUNTS)
        job = start_python(self.folder, JOB, self.folder, dockerd.IMAGE, mounts)
        wait_for(lambda: job.poll() is not None or "asleep" in self.log.read_text(), 120)
        assert job.poll() is None, job.communicate()[1]
        assert len(dockerd.containers(self.folder)) == 1
        return job

    def act(self) -> str:
        self.process.communicate()
        wait_for(lambda: dockerd.containers(self.folder) == [], 60)
        return f"containers left: {dockerd.containers(self.folder)}"

    def kept(self) -> dict[str, object]:
        """Return nothing: the job has no results yet."""
        return {}


class CreatedOnly(Scene):
    """A container that was created and never started, of a process that has died since."""

    task = "another"

    def prepare(self) -> None:
        self.request.getfixturevalue("engine")
        self.living = created("yet another", containers.owner())
        self.request.addfinalizer(lambda: dockerd.docker("rm", "--force", self.living))
        self.left: list[str] = []

    def leave(self, owner: str = DEAD) -> None:
        task = containers.task_id(request_of(self.folder)) if self.task == "same" else self.task
        self.left = [created(task, owner)]

    def act(self) -> str:
        self.look()
        assert dockerd.exist([self.living]) == [self.living], "of a process that lives"
        return f"containers left: {dockerd.exist(self.left)}"

    def look(self) -> None:
        """Run another task, which fails at once: there is no such image."""
        self.monkeypatch.chdir(self.folder)
        runners.execute("docker", request_of(self.folder, "localhost:1/none:1"))


class CreatedOnlyOfSame(CreatedOnly):
    task = "same"


class CreatedOnlyBeforePreflight(CreatedOnly):
    def look(self) -> None:
        """Ask what the runner requires, as preflight does."""
        runners.requirements_of("docker", Container(dockerd.IMAGE))


class Training(Scene):
    """A training in a container, of a project in which everything else is made."""

    def prepare(self) -> None:
        self.request.getfixturevalue("engine")
        self.project: Path = self.request.getfixturevalue("prepared")
        self.monkeypatch.chdir(self.project)
        self.request.addfinalizer((self.project / "misbehave").unlink)
        self.image = dockerd.IMAGE

    def misbehave(self, how: str) -> None:
        (self.project / "misbehave").write_text(how)

    def act(self) -> str:
        said = self.said(train, self.folder, "docker", self.image)
        made = (self.folder / "model.pth").exists()
        self.misbehave("")
        model = train(self.folder, "docker")
        resumed = "Resuming training" in (self.project / SPLIT / "train/status.json").read_text()
        size = model.stat().st_size > 0
        return f"{said}\nmade: {made}, resumed: {resumed}, made by the next run: {size}"


class NoEngine(Training):
    """The same where no engine answers."""

    def act(self) -> str:
        rows = runners.requirements_of("docker", Container(self.image))
        return "\n".join(f"{row.name}: {row.state} -> {row.fix}" for row in rows)


def created(task: str, owner: str) -> str:
    """Create a container as a task does, do not start it, and return its id."""
    labels = (f"--label=actionrec.task={task}", f"--label={containers.OWNER}={owner}")
    return dockerd.docker("create", *labels, dockerd.IMAGE).strip()


def send(number: int) -> Callable[[Job], None]:
    return lambda scene: scene.process.send_signal(number)


def kill_tree(scene: Job) -> None:
    process = psutil.Process(scene.process.pid)
    for member in [process, *process.children(recursive=True)]:
        member.kill()


def kill_with_watchdog(scene: Job) -> None:
    """As a scheduler kills all processes of a job: the container is not among them."""
    label = containers.task_id(request_of(scene.folder))
    dockerd.kill_watchdogs(f"label=actionrec.task={label}")
    scene.process.kill()


def no_daemon(scene: NoEngine) -> None:
    scene.misbehave("")
    scene.monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")


def killed_job(how: str, inject: Callable[[Job], None]) -> Fault:
    return Fault(f"a job is ended by {how}", how, Job, inject, NONE_LEFT, "nothing is there yet")


def left(when: str, scene: type[CreatedOnly], by: str) -> Fault:
    return Fault(
        f"a container that was created and never started, {when}",
        "its job and watchdog were killed in between",
        scene,
        CreatedOnly.leave,
        NONE_LEFT,
        f"the containers of jobs that live; {by} removes it",
    )


FAULTS = [
    killed_job("SIGTERM", send(signal.SIGTERM)),
    killed_job("SIGINT", send(signal.SIGINT)),
    killed_job("SIGKILL", send(signal.SIGKILL)),
    killed_job("SIGKILL of all its processes", kill_tree),
    killed_job("SIGKILL with its watchdog", kill_with_watchdog),
    left("of the same task", CreatedOnlyOfSame, "the next run"),
    left("of another task", CreatedOnly, "any next task"),
    left("before preflight", CreatedOnlyBeforePreflight, "preflight"),
    *(
        Fault(
            f"a task that {what}",
            "played by the stand-in for TAO's image",
            Training,
            lambda scene, how=how: scene.misbehave(how),
            (said, f"made: False, resumed: {resumed}, made by the next run: True"),
            "the project's other files, and intact checkpoints",
        )
        for how, what, said, resumed in (
            ("exits_with_0", "fails and exits with 0", "RuntimeError: CUDA error", False),
            ("no_failure_line", "fails without a word in status.json", "AssertionError", False),
            ("killed", "is killed in its container", "exit code 137", True),
            ("bogus_checkpoint", "leaves a bogus checkpoint", "exit code 1", False),
        )
    ),
    Fault(
        "an engine that does not answer",
        "its socket is not there",
        NoEngine,
        no_daemon,
        "systemctl start docker",
    ),
]

test_fault = table.test_of(FAULTS)
