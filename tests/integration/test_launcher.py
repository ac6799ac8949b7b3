"""NVIDIA's real launcher on a real Docker engine: its mistakes must not become ours."""

import json
import os
import signal
from pathlib import Path

import dockerd
import pytest
from projects import SPLIT, train

from actionrec import runners
from actionrec.errors import InputError
from actionrec.runners import Container, TaskRequest, launcher
from actionrec.utils.environments import LAUNCHER, prepare
from helpers import start_python, wait_for

pytestmark = pytest.mark.slow

ODD = "a b  {c,d} $HOME 'e' (f) ;echo g"


@pytest.fixture
def engine_of_the_launcher(engine, tmp_path, monkeypatch):
    """Make the tests' engine the one that the launcher talks to; give the user an empty home."""
    if not dockerd.is_public(engine):
        pytest.skip("another Docker engine has the socket that the launcher uses")
    try:
        prepare(LAUNCHER)
    except InputError as error:
        pytest.skip(str(error))
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def request(folder: Path, *program: str, **more) -> TaskRequest:
    container = Container(dockerd.IMAGE, mounts=dockerd.MOUNTS, shm_size="48m", ulimits={"core": 0})
    return TaskRequest(
        [], folder / "it's a folder", folder / "log", program=program, container=container, **more
    )


def test_the_task_runs_as_told_and_its_code_comes_through(
    engine_of_the_launcher, tmp_path, monkeypatch
):
    """Without a terminal here, with odd arguments, under GitLab's variable, exit code and all."""
    monkeypatch.setenv("CI_PROJECT_DIR", "/builds")
    monkeypatch.setenv("TAO_KEY", "not to be seen")
    script = (
        'echo "<$1>"; pwd; printf %s "$TAO_KEY" | wc -c; touch "$HOME/its" mine; '
        "echo GPUs $CUDA_VISIBLE_DEVICES $TELEMETRY_OPT_OUT; df -k /dev/shm; exit 3"
    )
    task = request(tmp_path, "sh", "-c", script, "sh", ODD)
    code, output = runners.execute("launcher", task)
    output = output.replace("\r", "")
    assert code == 3
    assert f"<{ODD}>\n{tmp_path}\n14\nGPUs 0 yes\n" in output
    assert " 49152 " in output
    assert (tmp_path / "mine").exists()
    assert dockerd.containers(tmp_path) == []
    assert "action_recognition" in (task.work_folder / "info.txt").read_text()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert task.work_folder / "mounts.json" in written
    assert not [path for path in written if b"not to be seen" in path.read_bytes()]
    assert not (tmp_path / ".tao_mounts.json").exists()
    assert not (tmp_path / ".tao").exists()


def test_a_launcher_that_runs_nothing_is_not_believed(engine_of_the_launcher, tmp_path):
    """It returns 1 for a missing image, but 0 for most else: only the task's own code counts."""
    missing = Container("localhost:1/none:1", ulimits={})
    task = TaskRequest(["train"], tmp_path / "work", tmp_path / "log", container=missing)
    with pytest.raises(InputError, match="without running the task"):
        runners.execute("launcher", task)
    assert not (tmp_path / "work/secrets").exists()


JOB = """
import os, sys
from pathlib import Path
from actionrec import runners
folder = Path(sys.argv[1])
os.chdir(folder)
container = runners.Container(sys.argv[2], mounts=sys.argv[3].split(":"), ulimits={})
program = ["sh", "-c", "echo asleep; sleep 300"]
work, log = folder / "it's a folder", folder / "log"
runners.execute(
    "launcher", runners.TaskRequest([], work, log, program=program, container=container)
)
"""


@pytest.mark.parametrize(
    ("number", "watched"),
    [(signal.SIGTERM, True), (signal.SIGKILL, True), (signal.SIGKILL, False)],
)
def test_a_killed_job_leaves_no_container(engine_of_the_launcher, tmp_path, number, watched):
    (tmp_path / "log").touch()
    job = start_python(tmp_path, JOB, tmp_path, dockerd.IMAGE, ":".join(dockerd.MOUNTS))
    try:
        wait_for(lambda: job.poll() is not None or "asleep" in (tmp_path / "log").read_text(), 60)
        assert job.poll() is None, job.communicate()[1]
        assert len(dockerd.containers(tmp_path)) == 1
        if not watched:
            dockerd.kill_watchdogs(f"volume={launcher.folder_inside(request(tmp_path))}")
        job.send_signal(number)
        job.wait(30)
    finally:
        job.kill()
        job.communicate()
    wait_for(lambda: dockerd.containers(tmp_path) == [])


def test_a_training_is_judged_by_what_it_left(
    engine_of_the_launcher, prepared, tmp_path, monkeypatch
):
    monkeypatch.chdir(prepared)
    Path("misbehave").write_text("exits_with_0")
    with pytest.raises(InputError, match="RuntimeError: CUDA error"):
        train(tmp_path, "launcher")
    Path("misbehave").unlink()
    assert train(tmp_path, "launcher").stat().st_size > 0
    mounts = json.loads(Path(SPLIT, "runner/train/mounts.json").read_text())
    assert {"source": str(prepared), "destination": str(prepared)} in mounts["Mounts"]
    assert mounts["DockerOptions"]["user"] == f"{os.getuid()}:{os.getgid()}"
    assert dockerd.containers(prepared) == []
