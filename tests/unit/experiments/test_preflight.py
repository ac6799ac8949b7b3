"""What a machine has and lacks, told by programs that stand on PATH in place of the real ones."""

import shutil
import sys
from pathlib import Path

import pytest

from actionrec.errors import InputError
from actionrec.experiments import preflight
from helpers import clone, edit, snakemake, write_video

IMAGE = "nvcr.io/nvidia/tao/tao-toolkit:test"
# Answers by the first words of the command line; anything else fails as an unknown image does.
ENGINE = """#!{python}
import sys
asked = " ".join(sys.argv[1:])
for words, answer in {answers!r}.items():
    if asked.startswith(words):
        print(answer)
        sys.exit(0)
sys.exit("No such object: " + asked)
"""
SMI = """#!/bin/sh
case "$*" in *index*) echo 0;; *) echo 'NVIDIA H100, 570.1';; esac
"""


def install(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that gives this machine programs and a login, and nothing else."""
    monkeypatch.chdir(tmp_path)
    for name in ("NGC_API_KEY", "NGC_CLI_API_KEY", "TAO_KEY", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))

    def have(**answers: str) -> None:
        install(tmp_path / "bin", "nvidia-smi", SMI)
        install(tmp_path / "bin", "nvidia-container-runtime-hook", "#!/bin/sh\n")
        known = {key.replace("_", " "): answer for key, answer in answers.items()}
        install(tmp_path / "bin", "docker", ENGINE.format(python=sys.executable, answers=known))

    return have


def config(**changes) -> dict:
    tao = {"runner": "native", "toolkit": "7.3.0", "image": IMAGE, "encrypt": False}
    dataset = {"name": "mine", "source": "demo", "classes": ["wave", "clap"]}
    return {
        "dataset": {**dataset, **changes.pop("dataset", {})},
        "frames": {"format": changes.pop("format", "png")},
        "export": {"etlt": changes.pop("etlt", "never")},
        "tao": {**tao, **changes},
    }


def verdicts(checks) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


def test_the_native_engine_needs_no_container(machine):
    checks = preflight.look(config(), ngc=False)
    assert verdicts(checks) == {"disk for the frames": "ok", "/dev/shm": "ok"}
    preflight.require(checks)


def test_no_engine_is_told_with_the_command_that_installs_it(machine):
    checks = preflight.look(config(runner="docker"), ngc=False)
    assert verdicts(checks)["docker"] == "missing"
    with pytest.raises(InputError, match=r"apt install docker\.io"):
        preflight.require(checks)


def test_all_that_a_container_needs_is_there(machine):
    machine(version="28.2", info="{}", image_inspect="[]")
    checks = preflight.look(config(runner="docker"), ngc=False)
    assert set(verdicts(checks).values()) == {"ok"}
    assert IMAGE in verdicts(checks)


def test_an_absent_image_wants_the_login_with_its_odd_user_name(machine):
    machine(version="28.2", info="{}")
    with pytest.raises(InputError) as caught:
        preflight.require(preflight.look(config(runner="docker"), ngc=False))
    assert "docker login nvcr.io (user name: $oauthtoken" in str(caught.value)


def test_an_absent_image_is_looked_for_in_its_registry(machine, tmp_path):
    (tmp_path / "config.json").write_text('{"auths": {"nvcr.io": {}}}')
    machine(version="28.2", info="/nowhere")
    found = verdicts(preflight.look(config(runner="docker"), ngc=False))
    assert (found["login to nvcr.io"], found["image can be pulled"]) == ("ok", "missing")
    machine(version="28.2", info=str(tmp_path), manifest_inspect="{}")
    found = verdicts(preflight.look(config(runner="docker"), ngc=False))
    assert found["image can be pulled"] == "ok" and "disk for the image" in found


def test_a_gpu_runtime_that_is_not_seen_is_tried(machine, tmp_path):
    machine(version="28.2", info="{}", image_inspect="[]", run="started")
    (tmp_path / "bin" / "nvidia-container-runtime-hook").unlink()
    assert verdicts(preflight.look(config(runner="docker"), ngc=False))["GPU runtime"] == "ok"
    machine(version="28.2", info="{}", image_inspect="[]")
    (tmp_path / "bin" / "nvidia-container-runtime-hook").unlink()
    engine = tmp_path / "bin" / "docker"
    refusal = 'could not select device driver "" with capabilities: [[gpu]].'
    engine.write_text(engine.read_text().replace("No such object: ", refusal))
    with pytest.raises(InputError, match="nvidia-container-toolkit"):
        preflight.require(preflight.look(config(runner="docker"), ngc=False))


def test_other_registries_need_no_login(machine):
    machine(version="28.2", info="{}", manifest_inspect="{}")
    checks = preflight.look(config(runner="docker", image="docker.io/me/tao:1"), ngc=False)
    assert verdicts(checks)["login to docker.io"] == "advice"
    preflight.require(checks)


def test_the_key_of_ngc_is_advice_and_is_not_shown(machine, monkeypatch):
    assert verdicts(preflight.look(config(), ngc=True))["NGC key"] == "advice"
    monkeypatch.setenv("NGC_API_KEY", "nvapi-secret")
    text = preflight.table(preflight.look(config(), ngc=True))
    assert "NGC key" in text and "secret" not in text


@pytest.mark.parametrize(
    ("etlt", "encrypt", "runner", "verdict"),
    [
        ("never", False, "native", None),
        ("auto", False, "native", "advice"),
        ("always", False, "native", "missing"),
        ("never", True, "native", "missing"),
        ("never", True, "direct", None),
    ],
)
def test_the_python_of_the_encryption_is_required_where_it_is_used(
    machine, etlt, encrypt, runner, verdict
):
    checks = preflight.look(config(etlt=etlt, encrypt=encrypt, runner=runner), ngc=False)
    assert verdicts(checks).get("Python for the encryption") == verdict
    assert verdict is None or "uv python install 3.12" in preflight.table(checks)


def test_an_empty_key_would_encrypt_nothing(machine, monkeypatch):
    monkeypatch.setenv("TAO_KEY", "")
    checks = preflight.look(config(encrypt=True, runner="direct"), ngc=False)
    assert verdicts(checks)["TAO_KEY"] == "missing"


def folder_of_videos(root: Path, size: int) -> dict:
    for cls in ("wave", "clap"):
        (root / cls).mkdir(parents=True)
        with (root / cls / "a.mp4").open("wb") as file:
            file.truncate(size)
    return {"source": "folder", "path": str(root)}


def test_frames_are_estimated_from_the_videos_that_are_still_to_come(machine, tmp_path):
    dataset = config(dataset=folder_of_videos(tmp_path / "videos", 10**6))["dataset"]
    assert preflight.frames_to_come(dataset, "png") == 76e6
    assert preflight.frames_to_come(dataset, "jpg") == 16e6
    done = tmp_path / "results" / "mine" / "frames" / "wave.tsv"
    done.parent.mkdir(parents=True)
    done.touch()
    assert preflight.frames_to_come(dataset, "png") == 38e6
    archives = {**dataset, "source": "archives"}
    assert preflight.frames_to_come(archives, "png") == 1.6e9


def test_a_disk_that_is_too_small_for_the_frames(machine, tmp_path):
    dataset = folder_of_videos(tmp_path / "videos", 10**13)
    with pytest.raises(InputError, match=r"frames\.format: jpg"):
        preflight.require(preflight.look(config(dataset=dataset), ngc=False))


@pytest.fixture
def mine(mount_disk, tmp_path):
    """Return a clone on a disk of 64 MB, for two classes whose frames need some 30 by estimate."""
    for cls in ("clap", "wave"):
        video = tmp_path / "videos" / cls / "a.avi"
        write_video(video, frames=50, width=320, height=240, fourcc="MJPG")
    folder = clone(mount_disk("size=64m") / "clone")

    def choose(content):
        path = str(tmp_path / "videos")
        classes = ["clap", "wave"]
        content["dataset"] = {"name": "mine", "source": "folder", "path": path, "classes": classes}
        content["splits"] = {"method": "fraction", "test_fraction": 0.3, "validation": 0.2}
        content["experiments"] = {"all": {}}

    edit(folder / "config" / "config.yaml", choose)
    return folder


WARNING = "disk for the frames: "


def leave_free(folder: Path, size: int) -> Path:
    """Fill the disk of `folder` but for `size` bytes; return the file that does."""
    rest = folder.parent / "rest"
    rest.write_bytes(bytes(shutil.disk_usage(folder).free - size))
    return rest


@pytest.mark.slow
def test_a_run_warns_of_a_disk_too_small_for_the_frames_and_goes_on(mine):
    frames = ["results/mine/frames/clap.tsv", "results/mine/frames/wave.tsv"]
    rest = leave_free(mine, 8 * 10**6)
    said = snakemake(mine, "--cores", "1", *frames)
    (warning,) = (line for line in said.splitlines() if WARNING in line)
    assert "0.0 GB free" in warning and "set frames.format: jpg" in warning
    assert all((mine / path).exists() for path in frames)
    assert WARNING not in snakemake(mine, "--cores", "1", "dataset")
    rest.unlink()
    assert WARNING not in snakemake(mine, "--cores", "1", "-F", *frames)


@pytest.mark.slow
def test_a_run_in_containers_stops_before_its_first_job(tmp_path, monkeypatch):
    folder = clone(tmp_path / "clone")

    def choose(content):
        content["tao"] = {"runner": "docker", "image": IMAGE}

    edit(folder / "config" / "config.yaml", choose)
    install(tmp_path / "bin", "docker", "#!/bin/sh\necho 'Cannot connect' >&2; exit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    table = snakemake(folder, "--cores", "1", "preflight", check=False)
    assert "missing  docker daemon" in table and "systemctl start docker" in table
    said = snakemake(folder, "--cores", "1", check=False)
    assert "Cannot connect" in said and "snakemake preflight" in said
    assert "Traceback" not in said and not (folder / "resources").exists()
    assert "generate_demo" in snakemake(folder, "-n")
