"""The workflow through containers of a real Apptainer."""

import io
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import dockerd
import pytest
from projects import train

from actionrec import runners
from actionrec.errors import InputError
from actionrec.runners import Container, TaskRequest, apptainer
from helpers import start_python, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image(apptainer_folder, tmp_path_factory):
    """Return a folder that is the stand-in's image, with an Apptainer on PATH that runs it."""
    folder = tmp_path_factory.mktemp("image") / "files"
    with tarfile.open(fileobj=io.BytesIO(dockerd.root_archive())) as archive:
        archive.extractall(folder, filter="tar")
    settings = folder / ".singularity.d/env/90-environment.sh"
    settings.parent.mkdir(parents=True)
    settings.write_text("".join(f"export {line}\n" for line in dockerd.ENVIRONMENT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{apptainer_folder}{os.pathsep}{os.environ['PATH']}")
        built = folder.with_name("tao")
        subprocess.run(["apptainer", "build", "--sandbox", built, folder], check=True)
        yield built


@pytest.fixture
def shell(image, tmp_path, monkeypatch):
    """Return a function that runs a shell script in a container."""
    monkeypatch.chdir(tmp_path)
    container = Container(str(image), mounts=dockerd.MOUNTS)

    def run(script: str, *arguments: str, **more) -> tuple[int, str]:
        task = TaskRequest(
            [*arguments],
            tmp_path / "work",
            tmp_path / "log",
            program=["sh", "-c", script, "sh"],
            container=container,
            **more,
        )
        return runners.execute("apptainer", task)

    return run


def test_it_runs_here_with_our_variables_and_says_how_it_went(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("TAO_KEY", "not $HOME to be seen")
    code, output = shell(
        'echo "<$1>"; pwd; printf %s "$TAO_KEY" | wc -c; touch mine "$HOME/its"; '
        'echo "GPUs $CUDA_VISIBLE_DEVICES $TELEMETRY_OPT_OUT <$WORLD_SIZE>"; exit 3',
        "a, b $HOME `date`",
    )
    assert code == 3, output
    assert f"<a, b $HOME `date`>\n{tmp_path}\n20\nGPUs 0 yes <>\n" in output
    assert (tmp_path / "mine").exists()
    assert (tmp_path / "work/user/its").exists()
    assert "not $HOME to be seen" not in (tmp_path / "log").read_text()


def test_links_that_leave_the_project_are_followed(shell, tmp_path, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk, with comma")
    (disk / "clip").write_text("frames")
    (tmp_path / "resources").symlink_to(disk)
    code, output = shell("cat resources/clip", paths=[tmp_path / "resources/clip"])
    assert code == 0, output
    assert output.endswith("frames")


JOB = """
import os, sys
from pathlib import Path
from actionrec import runners
folder = Path(sys.argv[1])
os.chdir(folder)
container = runners.Container(sys.argv[2], mounts=sys.argv[3].split(":"))
program = ["sh", "-c", "while sleep 0.05; do date +%N >beat; done"]
runners.execute(
    "apptainer",
    runners.TaskRequest([], folder / "work", folder / "log", program=program, container=container),
)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_job_leaves_nothing_running(image, tmp_path, number):
    job = start_python(tmp_path, JOB, tmp_path, image, ":".join(dockerd.MOUNTS))
    beat = tmp_path / "beat"
    try:
        wait_for(lambda: job.poll() is not None or beat.exists(), 60)
        assert job.poll() is None, (tmp_path / "log").read_text()
        job.send_signal(number)
        job.wait(30)
    finally:
        job.kill()
        job.communicate()

    def silent() -> bool:
        before = beat.stat().st_mtime_ns
        time.sleep(1)
        return beat.stat().st_mtime_ns == before

    wait_for(silent)


def test_it_trains(image, prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(prepared)
    assert train(tmp_path, "apptainer", str(image)).stat().st_size > 0
    assert f"uid {os.getuid()} GPUs 0" in (tmp_path / "log").read_text()


def test_a_pull_that_fails_leaves_nothing(image, tmp_path):
    target = tmp_path / "images/tao.sif"
    with pytest.raises(InputError, match="connection refused"):
        apptainer.pull("127.0.0.1:1/tao:1", target, tmp_path / "log")
    assert list(target.parent.iterdir()) == []


def test_what_is_needed_is_there(image):
    rows = {row.name: row for row in runners.requirements_of("apptainer", Container(str(image)))}
    assert rows["apptainer"].met
    assert rows[str(image)].met
    missing = str(Path(image).with_name("tao.sif"))
    assert "apptainer pull" in runners.requirements_of("apptainer", Container(missing))[-1].fix
