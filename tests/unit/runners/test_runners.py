"""Runners: real processes that print, fail, and die with their parent."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actionrec import runners
from actionrec.errors import InputError
from actionrec.runners import (
    Container,
    TaskRequest,
    apptainer,
    direct,
    docker,
    launcher,
    mounts,
    native,
    process,
    slurm,
)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return a function that puts an `action_recognition` with a given body on PATH."""

    def install(body: str) -> Path:
        program = tmp_path / "bin/action_recognition"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\n{body}")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return program

    return install


def request(tmp_path, **more) -> TaskRequest:
    return TaskRequest(
        ["train", "-e", "/p/spec.yaml"],
        work_folder=tmp_path / "results/exp/split1/runner/train",
        log=tmp_path / "logs/task.log",
        threads=3,
        **more,
    )


def run(tmp_path, **more):
    return runners.execute("direct", request(tmp_path, **more))


def test_the_command_is_taos(tmp_path):
    task = request(tmp_path)
    assert direct.command(task) == ["action_recognition", "train", "-e", "/p/spec.yaml"]
    engine = [sys.executable, "-m", "actionrec.native"]
    assert native.command(task) == [*engine, "train", "-e", "/p/spec.yaml"]


def test_several_machines_run_the_engine_by_srun_or_not_at_all(command, tmp_path, monkeypatch):
    """A program in its place shows what srun is given."""
    body = "import os, sys; print(*sys.argv[1:], os.environ['MASTER_PORT'])"
    command(body).rename(tmp_path / "bin/srun")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(InputError, match="--workflow-profile profiles/slurm"):
        runners.execute("native", request(tmp_path, machines=2))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    code, output = runners.execute("native", request(tmp_path, machines=2))
    options = "--nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=3 --overlap"
    assert code == 0
    assert output.startswith(f"{options} --kill-on-bad-exit=1")
    assert "-m actionrec.native train -e /p/spec.yaml" in output
    assert output.split()[-1].isdigit()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"srun(.|\n)*module load slurm"):
        runners.execute("native", request(tmp_path, machines=2))


@pytest.mark.parametrize(
    ("executor", "submits", "refused"),
    [
        ("local", "", True),
        ("slurm", "", False),
        ("pcluster-slurm", "", False),
        ("kubernetes", "", True),
        ("aws-batch", "", True),
        ("cluster-generic", "mkdir -p logs && sbatch --partition=local {resources.options}", False),
        ("cluster-generic", "mkdir -p logs && qsub -terse -N {rule}", True),
        ("cluster-generic", "mkdir -p logs && profiles/cluster-generic/lsf-submit -J a", True),
        ("cluster-generic", "kubernetes-submit", True),
        ("cluster-generic", "/opt/site/submit --local", False),
        ("drmaa", "", False),
    ],
)
def test_whether_jobs_certainly_do_not_go_to_slurm(executor, submits, refused):
    assert slurm.is_out_of_reach(executor, submits) == refused


def test_output_is_kept_in_the_log_and_returned(tmp_path, command):
    command("import sys; print('out', *sys.argv[1:3]); print('err', file=sys.stderr); sys.exit(7)")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/task.log").write_text("before\n")
    code, output = run(tmp_path)
    assert code == 7
    assert "out train -e" in output
    assert "err" in output
    assert (tmp_path / "logs/task.log").read_text() == "before\n" + output


def test_the_environment_is_clean_and_bounded(tmp_path, command, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    command("import os; print(os.environ.get('WORLD_SIZE'), os.environ['OMP_NUM_THREADS'])")
    assert run(tmp_path)[1].split() == ["None", "3"]


def test_progress_reaches_the_terminal_and_other_lines_do_not(
    tmp_path, command, monkeypatch, capfd
):
    monkeypatch.setattr(process, "SECONDS_BETWEEN_LINES", -1)
    command(r"import sys; sys.stderr.write('\rEpoch 1:  50%|##  | 1/2'); print('\nmodel text')")
    run(tmp_path)
    shown = capfd.readouterr().err
    assert "Epoch 1:  50%|" in shown
    assert "model text" not in shown


def test_a_missing_command_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"tao\.runner: native"):
        run(tmp_path)


def test_the_task_dies_with_a_killed_parent(tmp_path, command):
    """kill -9 of the rule's process leaves no training behind."""
    command(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path)!r}, 'pid').write_text(str(os.getpid()))\n"
        "time.sleep(60)"
    )
    parent = start_parent(tmp_path)
    pid = int((tmp_path / "pid").read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not alive(pid))


def start_parent(tmp_path) -> subprocess.Popen:
    """Start a process that runs the command on PATH; wait until that has written a pid."""
    code = (
        "from pathlib import Path; from actionrec import runners; "
        f"folder = Path({str(tmp_path)!r}); "
        "runners.execute('direct', runners.TaskRequest(['train'], folder, folder / 'log'))"
    )
    variables = os.environ | {"PYTHONPATH": str(process.PACKAGES)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=variables)
    pid = tmp_path / "pid"
    wait_until(lambda: pid.exists() and pid.read_text())
    return parent


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def docker_line(tmp_path, container=None, gpu_ids=("1",), **more) -> list[str]:
    container = container or Container("nvcr.io/nvidia/tao/tao-toolkit:6.26.3-pyt")
    return docker.command(
        request(tmp_path, container=container, **more),
        gpu_ids,
        name="actionrec-it",
        folders={Path("/p"): Path("/p"), Path("/links/a,b"): Path("/disk/a,b")},
        workdir=Path("/p"),
        user="1000:1001",
        variables=["TAO_KEY"],
    )


def test_the_command_line_of_docker(tmp_path):
    line = docker_line(tmp_path)
    label = next(word for word in line if word.startswith("--label=actionrec.task="))
    owner = next(word for word in line if word.startswith("--label=actionrec.owner="))
    assert line == [
        "docker",
        "run",
        "--rm",
        "--init",
        "--interactive",
        "--name=actionrec-it",
        label,
        owner,
        "--gpus=device=1",
        "--user=1000:1001",
        "--tmpfs=/home/tao:rw,exec,mode=1777",
        "--env=HOME=/home/tao",
        "--env=USER=tao",
        "--env=LOGNAME=tao",
        "--shm-size=16g",
        "--ulimit=memlock=-1",
        "--ulimit=stack=67108864",
        "--mount=type=bind,source=/p,target=/p",
        '--mount=type=bind,"source=/disk/a,b","target=/links/a,b"',
        "--workdir=/p",
        "--env=OMP_NUM_THREADS=3",
        "--env=PYTHONUNBUFFERED=1",
        "--env=TELEMETRY_OPT_OUT=yes",
        "--env=TAO_KEY",
        "nvcr.io/nvidia/tao/tao-toolkit:6.26.3-pyt",
        "sh",
        "-c",
        docker.DIE_WITH_STDIN,
        "sh",
        "action_recognition",
        "train",
        "-e",
        "/p/spec.yaml",
    ]


def test_the_command_line_of_podman(tmp_path):
    line = docker_line(tmp_path, Container("image@sha256:" + 64 * "0", "podman", options=["--tls"]))
    assert line[0] == "podman"
    assert "--device=nvidia.com/gpu=1" in line
    assert "--userns=keep-id" in line
    assert not [word for word in line if word.startswith("--gpus")]
    assert line[-10:-8] == ["--tls", "image@sha256:" + 64 * "0"]


def test_the_command_line_of_apptainer(tmp_path, monkeypatch):
    monkeypatch.setenv("TAO_KEY", "secret")
    task = request(tmp_path, container=Container("nvcr.io/a/b:1", options=["--no-mount=tmp"]))
    line = apptainer.command(
        task,
        ("1", "2"),
        program="singularity",
        folders={Path("/p"): Path("/p"), Path("/links/a,b"): Path("/disk/a,b")},
        workdir=Path("/p"),
    )
    assert line == [
        "singularity",
        "exec",
        "--nv",
        "--pid",
        "--cleanenv",
        "--no-eval",
        f"--home={tmp_path}/results/exp/split1/runner/train/user",
        "--mount",
        "type=bind,source=/p,destination=/p",
        "--mount",
        'type=bind,"source=/disk/a,b","destination=/links/a,b"',
        "--pwd=/p",
        "--no-mount=tmp",
        "resources/images/nvcr.io_a_b_1.sif",
        "action_recognition",
        "train",
        "-e",
        "/p/spec.yaml",
    ]
    passed = apptainer.variables(task, ("1", "2"))
    assert passed["APPTAINERENV_TAO_KEY"] == passed["SINGULARITYENV_TAO_KEY"] == "secret"
    assert passed["APPTAINERENV_CUDA_VISIBLE_DEVICES"] == "1,2"
    file = request(tmp_path, container=Container("/images/tao.sif"))
    line = apptainer.command(file, (), program="apptainer", folders={}, workdir=Path("/p"))
    assert "/images/tao.sif" in line
    assert "--nv" not in line


def test_what_the_launcher_is_told(tmp_path):
    task = request(tmp_path, container=Container("nvcr.io/nvidia/tao/tao-toolkit:5.5.0-pyt"))
    inside = launcher.folder_inside(task)
    assert re.fullmatch(r"/actionrec/[0-9a-f]{8}", inside)
    assert launcher.command(inside)[1:] == [
        "model",
        "action_recognition",
        "run",
        "sh",
        f"{inside}/job.sh",
    ]
    assert launcher.configuration(task.container.image)["task_group"]["model"]["dockers"] == {
        "nvidia/tao/tao-toolkit": {
            "5.5.0-pyt": {"docker_registry": "nvcr.io", "tasks": ["action_recognition"]}
        }
    }
    content = launcher.mounts_file(task, ("1",), {Path("/p"): Path("/p")}, "1000:1001")
    variables = {each["variable"]: each["value"] for each in content["Envs"]}
    assert content["Mounts"] == [
        {"source": "/p", "destination": "/p"},
        {"source": str(task.work_folder), "destination": inside},
    ]
    assert content["DockerOptions"] == {
        "user": "1000:1001",
        "shm_size": "16g",
        "ulimits": {"memlock": -1, "stack": 67108864},
    }
    assert variables == {
        "OMP_NUM_THREADS": "3",
        "PYTHONUNBUFFERED": "1",
        "TELEMETRY_OPT_OUT": "yes",
        "HOME": f"{inside}/user",
        "USER": "tao",
        "CUDA_VISIBLE_DEVICES": "1",
    }


@pytest.mark.parametrize("image", ["nvcr.io/a/b@sha256:0", "nvcr.io/a/b:1@sha256:0", "b"])
def test_the_launcher_needs_a_tag(image):
    with pytest.raises(InputError, match="by its tag only"):
        launcher.configuration(image)


@pytest.mark.parametrize(("at", "source"), [("/link", "/real"), ("/a:b", "/a:b")])
def test_the_launcher_refuses_folders_that_it_would_mount_elsewhere(tmp_path, at, source):
    with pytest.raises(InputError, match=r"tao\.runner: docker"):
        launcher.mounts_file(request(tmp_path), (), {Path(at): Path(source)}, "0:0")


def test_the_launcher_refuses_another_socket(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    with pytest.raises(InputError, match="default socket only"):
        launcher.require_default_engine()


def test_nothing_that_a_task_started_outlives_a_killed_parent(tmp_path, command):
    """As TAO's command does, which has a child do the work."""
    command(
        "import pathlib, subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"pathlib.Path({str(tmp_path)!r}, 'pid').write_text(str(child.pid))\n"
        "child.wait()"
    )
    parent = start_parent(tmp_path)
    child = int((tmp_path / "pid").read_text())
    assert alive(child)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(child))


@pytest.mark.parametrize(
    ("ids", "option"),
    [(None, ["--gpus=all"]), ((), []), (("0", "GPU-1a"), ['--gpus="device=0,GPU-1a"'])],
)
def test_docker_gets_gpus_by_id(tmp_path, ids, option):
    line = docker_line(tmp_path, gpu_ids=ids)
    assert [word for word in line if word.startswith("--gpus")] == option


def test_another_program_may_wrap_the_command(tmp_path):
    """As the toolkits before 5 need it: their key is an argument, and no line of ours holds it."""
    script = 'exec action_recognition "$@" -k "$TAO_KEY"'
    line = docker_line(tmp_path, program=["sh", "-c", script, "action_recognition"])
    assert line[-7:] == ["sh", "-c", script, "action_recognition", "train", "-e", "/p/spec.yaml"]


def test_without_an_image_the_message_says_what_to_set(tmp_path):
    with pytest.raises(InputError, match=r"tao\.image"):
        docker_line(tmp_path, Container())


TAO = {"toolkit": "5.5.0", "image": None, "docker": "docker", "container": {}}


def test_the_configuration_gives_image_and_version():
    tao = TAO | {"runner": "docker", "container": {"shm_size": "1g"}}
    assert runners.container(tao) == Container(
        "nvcr.io/nvidia/tao/tao-toolkit:5.5.0-pyt", shm_size="1g"
    )
    assert runners.version(tao, "actionrec 1").endswith("tao-toolkit:5.5.0-pyt")
    mine = tao | {"image": "mine:2"}
    assert runners.version(mine, "actionrec 1") == "docker 5.5.0 mine:2"
    assert runners.version(mine | {"runner": "native"}, "x 1") == "native 5.5.0 x 1"


def test_apptainer_runs_an_image_from_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tao = TAO | {"runner": "apptainer"}
    (pulled,) = runners.images(tao)
    assert pulled == "resources/images/nvcr.io_nvidia_tao_tao-toolkit_5.5.0-pyt.sif"
    assert (
        "the run pulls it" in runners.requirements_of("apptainer", runners.container(tao))[-2].state
    )
    Path(pulled).parent.mkdir(parents=True)
    Path(pulled).touch()
    assert runners.requirements_of("apptainer", runners.container(tao))[-1].state == "there"
    for others in ({"image": "/images/tao.sif"}, {"runner": "docker"}, {"runner": "native"}):
        assert runners.images(tao | others) == []


def test_without_apptainer_the_message_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="module load apptainer"):
        apptainer.pull("a/b:1", tmp_path / "images/b.sif", tmp_path / "log")
    assert list((tmp_path / "images").iterdir()) == []


def test_mounts_are_the_project_and_what_its_links_lead_to(tmp_path):
    project, disk = tmp_path / "project", tmp_path / "disk"
    (disk / "frames/walk/clip/rgb").mkdir(parents=True)
    (project / "resources").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(disk)
    (project / "resources/frames").symlink_to(tmp_path / "alias/frames")
    data = project / "run/data/train/walk"
    data.mkdir(parents=True)
    (data / "clip").symlink_to(Path("../../../../../disk/frames/walk/clip"))
    assert mounts.of_links(project / "run/data") == {disk / "frames/walk"}
    found = mounts.needed([project / "run", disk / "frames/walk"], project, ["/usr"])
    assert found == {
        project: project,
        Path("/usr"): Path("/usr"),
        disk / "frames/walk": disk / "frames/walk",
    }
    by_link = mounts.needed([project / "resources/frames/walk/clip"], project)
    assert by_link == {
        project: project,
        tmp_path / "alias/frames": disk / "frames",
        disk / "frames": disk / "frames",
    }


def test_the_task_sees_its_gpus_only(tmp_path, command, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    command("import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['TAO_KEY'])")
    assert run(tmp_path, variables={"TAO_KEY": "k"})[1].split() == ["5", "k"]


def test_needs_say_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (row,) = runners.requirements_of("docker", Container("image"))
    assert not row.met
    assert row.fix == "sudo apt install docker.io"
    assert runners.requirements_of("native", Container()) == []
    assert not runners.requirements_of("direct", Container())[0].met
