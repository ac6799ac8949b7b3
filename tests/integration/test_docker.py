"""The workflow through real containers of a real Docker engine, behaving and misbehaving as TAO."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dockerd
import psutil
import pytest
from projects import SPLIT

from actionrec import runners
from actionrec.deploy.tensorrt import Builder, build_engine
from actionrec.runners import Container, TaskRequest, containers
from helpers import snakemake, wait_for
from helpers.exports import make_export

pytestmark = pytest.mark.slow


def request_of(folder: Path, *program: str, **more) -> TaskRequest:
    """Return a request for any program in a container of the stand-in's image."""
    container = Container(
        dockerd.IMAGE,
        mounts=more.pop("mounts", dockerd.MOUNTS),
        shm_size="48m",
        ulimits={"core": 0},
    )
    return TaskRequest(
        [], folder / "work", folder / "log", program=program, container=container, **more
    )


@pytest.fixture
def shell(engine, tmp_path, monkeypatch):
    """Return a function that runs a shell script in a container."""
    monkeypatch.chdir(tmp_path)

    def run(script: str, *arguments: str, **more) -> tuple[int, str]:
        return runners.execute(
            "docker", request_of(tmp_path, "sh", "-c", script, "sh", *arguments, **more)
        )

    return run


class TestContainer:
    def test_exit_codes_and_both_streams_come_through(self, shell, tmp_path):
        code, output = shell('echo out "$1"; echo err >&2; exit 7', "a b  {c}'$HOME")
        assert code == 7
        assert "out a b  {c}'$HOME" in output
        assert "err" in output
        assert (tmp_path / "log").read_text().endswith(output)
        assert dockerd.containers(tmp_path) == []

    def test_it_is_where_we_are_and_owned_by_us(self, shell, tmp_path):
        code, output = shell('pwd; touch mine "$HOME/its"; id -u; df -k /dev/shm; ulimit -c')
        assert code == 0, output
        assert f"{tmp_path}\n" in output
        assert f"\n{os.getuid()}\n" in output
        assert " 49152 " in output
        assert (tmp_path / "mine").stat().st_uid == os.getuid()

    def test_another_user_owns_what_it_writes_and_has_a_home(self, shell, tmp_path, monkeypatch):
        monkeypatch.setattr(containers, "user", lambda: "1234:1235")
        tmp_path.chmod(0o777)
        code, output = shell('touch mine "$HOME/its" && echo "$USER"')
        assert code == 0, output
        written = (tmp_path / "mine").stat()
        assert (written.st_uid, written.st_gid) == (1234, 1235)
        assert output.endswith("tao\n")

    def test_the_environment_is_ours_alone_and_secrets_stay_secret(
        self, shell, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("WORLD_SIZE", "4")
        monkeypatch.setenv("TAO_KEY", "not-to-be-seen")
        code, output = shell("printf %s $TAO_KEY | wc -c; env | grep -v ^TAO_KEY")
        assert code == 0
        assert "\n14\n" in output
        assert "WORLD_SIZE" not in output
        assert "TELEMETRY_OPT_OUT=yes" in output
        written = [tmp_path / "log", tmp_path / "work/container.json"]
        assert not [path for path in written if "not-to-be-seen" in path.read_text()]

    def test_gpus_are_given_by_id(self, shell, monkeypatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
        assert shell("echo $NVIDIA_VISIBLE_DEVICES", gpus=2)[1].endswith("\n2,3\n")

    def test_links_that_leave_the_project_are_followed(self, shell, tmp_path, tmp_path_factory):
        disk = tmp_path_factory.mktemp("disk, with comma")
        (disk / "clip").write_text("frames")
        (tmp_path / "resources").symlink_to(disk)
        code, output = shell("cat resources/clip", paths=[tmp_path / "resources/clip"])
        assert code == 0, output
        assert output.endswith("frames")

    def test_a_missing_image_fails_with_the_engines_words(self, engine, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        missing = Container("localhost:1/none:1", ulimits={})
        request = TaskRequest(["train"], tmp_path / "work", tmp_path / "log", container=missing)
        code, output = runners.execute("docker", request)
        assert code == 125
        assert "localhost:1" in output

    def test_what_is_needed_is_there(self, engine, monkeypatch):
        path = f"{dockerd.STANDIN / 'runtime'}{os.pathsep}{os.environ['PATH']}"
        monkeypatch.setenv("PATH", path)
        rows = runners.requirements_of("docker", Container(dockerd.IMAGE))
        assert [row.name for row in rows if not row.met] == []
        assert rows[-1].name == dockerd.IMAGE
        monkeypatch.setenv("DOCKER_CONFIG", "/nowhere")
        last = runners.requirements_of("docker", Container("nvcr.io/nvidia/other:1"))[-1]
        assert "$oauthtoken" in last.fix
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        assert "systemctl start docker" in runners.requirements_of("docker", Container("x"))[-1].fix


def test_tensorrt_builds_an_engine_in_a_container(engine, tmp_path, monkeypatch):
    """The files that it reads and writes are where it sees them, and it is a GPU's job."""
    monkeypatch.chdir(tmp_path)
    container = Container(dockerd.IMAGE, mounts=dockerd.MOUNTS, ulimits={"core": 0})
    builder = Builder("docker", tmp_path / "log.txt", container=container)
    export = make_export(tmp_path / "export")
    build_engine(export, export / "tensorrt", builder, precision="fp16", batch=[1, 4, 16])
    report = json.loads((export / "tensorrt/report.json").read_text())
    assert report["difference"] < 1e-6
    assert report["latency_ms"] == 0.93
    assert (export / "tensorrt/model.plan").stat().st_uid == os.getuid()
    record = json.loads((export / "tensorrt/runner/container.json").read_text())
    assert (record["image"], record["gpus"]) == (dockerd.IMAGE, ["0"])


@pytest.fixture(scope="module")
def done(engine, prepared):
    """Run the prepared project to its end."""
    snakemake(prepared, "--cores", "2")
    return prepared


class TestWorkflow:
    def test_every_task_ran_in_a_container(self, done):
        metrics = json.loads((done / SPLIT / "metrics.json").read_text())
        assert metrics["videos"] == 4
        assert (done / SPLIT / "export/model.onnx").stat().st_size > 0
        for task in ("train", "evaluate", "inference", "export"):
            record = json.loads((done / SPLIT / f"runner/{task}/container.json").read_text())
            assert record["image"] == dockerd.IMAGE
            assert record["gpus"] == ["0"]
        log = (done / "logs/small/train_model/rgb_2d.split1.log").read_text()
        assert record["name"].replace("export", "train")[:20] in log
        assert f"uid {os.getuid()} GPUs 0" in log
        assert dockerd.containers(done) == []

    def test_a_second_run_does_nothing_and_a_new_image_trains_anew(self, done):
        assert "Nothing to be done" in snakemake(done, "--cores", "2")
        config = (done / "config/config.yaml").read_text()
        shm = done / "shm.yaml"
        shm.write_text(config.replace("shm_size: 64m", "shm_size: 32m"))
        assert "Nothing to be done" in snakemake(done, "-n", "--configfile", str(shm))
        image = done / "image.yaml"
        image.write_text(config.replace("6.26.3-pyt", "6.26.4-pyt"))
        assert "train_model" in snakemake(done, "-n", "--configfile", str(image))

    def test_a_killed_snakemake_leaves_no_container(self, done):
        (done / "misbehave").write_text("sleeps")
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--forcerun", "train_model"]
        run = psutil.Popen(command, cwd=done, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: dockerd.containers(done), 60)
            tree = [run, *run.children(recursive=True)]
            for member in tree:
                member.kill()
            run.wait()
            wait_for(lambda: dockerd.containers(done) == [], 60)
        finally:
            (done / "misbehave").unlink()
            snakemake(done, "--unlock")
