"""What a machine has and lacks, by programs on PATH that answer in place of the real ones."""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from actionrec import runners
from actionrec.errors import InputError
from actionrec.preflight import frame_space, machine
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
def equip(tmp_path, monkeypatch):
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
    tao |= {"docker": "docker", "container": {}}
    dataset = {"name": "mine", "source": "demo", "classes": ["wave", "clap"]}
    splits = {"links": changes.pop("links", "symlink"), "numbers": [1], "test_fraction": 0.3}
    return {
        "dataset": {**dataset, **changes.pop("dataset", {})},
        "experiments": {"one": {"classes": ("wave", "clap"), "flow": False}},
        "flow": {"method": "dis", "preset": "medium", "mapping": "max_rad"},
        "splits": splits,
        "frames": {"size": None, "encoder": "fpng", "quality": 95}
        | changes.pop("frames", {"format": "png"}),
        "export": {"etlt": changes.pop("etlt", "never")},
        "tao": {**tao, **changes},
    }


def verdicts(checks) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


def test_the_native_engine_needs_no_container(equip):
    checks = machine.look(config(), ngc=False)
    assert verdicts(checks) == {"disk for the frames": "ok", "/dev/shm": "ok"}
    machine.require(checks)


def test_no_engine_is_told_with_the_command_that_installs_it(equip):
    checks = machine.look(config(runner="docker"), ngc=False)
    assert verdicts(checks)["docker"] == "missing"
    with pytest.raises(InputError, match=r"apt install docker\.io"):
        machine.require(checks)


def test_all_that_a_container_needs_is_there(equip):
    equip(version="28.2", info="{}", image_inspect="[]")
    checks = machine.look(config(runner="docker"), ngc=False)
    assert set(verdicts(checks).values()) == {"ok"}
    assert IMAGE in verdicts(checks)


def test_an_absent_image_wants_the_login_with_its_odd_user_name(equip):
    equip(version="28.2", info="{}")
    with pytest.raises(InputError) as caught:
        machine.require(machine.look(config(runner="docker"), ngc=False))
    assert "docker login nvcr.io (user name: $oauthtoken" in str(caught.value)


def test_an_absent_image_is_looked_for_in_its_registry(equip, tmp_path):
    (tmp_path / "config.json").write_text('{"auths": {"nvcr.io": {}}}')
    equip(version="28.2", info="/nowhere")
    found = verdicts(machine.look(config(runner="docker"), ngc=False))
    assert (found["login to nvcr.io"], found["image can be pulled"]) == ("ok", "missing")
    equip(version="28.2", info=str(tmp_path), manifest_inspect="{}")
    found = verdicts(machine.look(config(runner="docker"), ngc=False))
    assert found["image can be pulled"] == "ok" and "disk for the image" in found


def test_a_gpu_runtime_that_is_not_seen_is_tried(equip, tmp_path):
    equip(version="28.2", info="{}", image_inspect="[]", run="started")
    (tmp_path / "bin" / "nvidia-container-runtime-hook").unlink()
    assert verdicts(machine.look(config(runner="docker"), ngc=False))["GPU runtime"] == "ok"
    equip(version="28.2", info="{}", image_inspect="[]")
    (tmp_path / "bin" / "nvidia-container-runtime-hook").unlink()
    engine = tmp_path / "bin" / "docker"
    refusal = 'could not select device driver "" with capabilities: [[gpu]].'
    engine.write_text(engine.read_text().replace("No such object: ", refusal))
    with pytest.raises(InputError, match="nvidia-container-toolkit"):
        machine.require(machine.look(config(runner="docker"), ngc=False))


def test_other_registries_need_no_login(equip):
    equip(version="28.2", info="{}", manifest_inspect="{}")
    checks = machine.look(config(runner="docker", image="docker.io/me/tao:1"), ngc=False)
    assert verdicts(checks)["login to docker.io"] == "advice"
    machine.require(checks)


def test_the_key_of_ngc_is_advice_and_is_not_shown(equip, monkeypatch):
    assert verdicts(machine.look(config(), ngc=True))["NGC key"] == "advice"
    monkeypatch.setenv("NGC_API_KEY", "nvapi-secret")
    text = machine.table(machine.look(config(), ngc=True))
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
    equip, etlt, encrypt, runner, verdict
):
    checks = machine.look(config(etlt=etlt, encrypt=encrypt, runner=runner), ngc=False)
    assert verdicts(checks).get("Python for the encryption") == verdict
    assert verdict is None or "uv python install 3.12" in machine.table(checks)


def test_an_empty_key_would_encrypt_nothing(equip, monkeypatch):
    monkeypatch.setenv("TAO_KEY", "")
    checks = machine.look(config(encrypt=True, runner="direct"), ngc=False)
    assert verdicts(checks)["TAO_KEY"] == "missing"


def folder_of_videos(root: Path, frames: int = 20, **options) -> dict:
    """Write two videos of two classes; return the dataset of that folder."""
    for cls in ("wave", "clap"):
        for name in ("a.avi", "b.avi"):
            write_video(root / cls / name, frames, fourcc="MJPG", **options)
    return {"source": "folder", "path": str(root)}


@pytest.fixture
def full_disk(mount_disk):
    """Return a disk that has no space for frames, made while `mount` is on PATH."""
    return mount_disk("size=1m")


def test_the_disk_is_that_where_the_frames_will_lie(full_disk, equip, tmp_path):
    dataset = folder_of_videos(tmp_path / "videos", width=320, height=240)
    assert verdicts(machine.look(config(dataset=dataset), ngc=False))["disk for the frames"] == "ok"
    (tmp_path / "resources").symlink_to(full_disk / "not made yet")
    with pytest.raises(
        InputError, match=rf"0\.0 GB free, [\s\S]*in {full_disk}[\s\S]*frames\.format: jpg"
    ):
        machine.require(machine.look(config(dataset=dataset), ngc=False))


def test_copies_must_fit_next_to_the_frames_where_they_will_lie(full_disk, equip, tmp_path):
    dataset = folder_of_videos(tmp_path / "videos", width=320, height=240)
    copied = config(dataset=dataset, links="copy")
    found = verdicts(machine.look(copied, ngc=False))
    assert found["disk for the frames"] == found["disk for the copies of the frames"] == "ok"
    (tmp_path / "results").symlink_to(full_disk)
    with pytest.raises(InputError) as caught:
        machine.require(machine.look(copied, ngc=False))
    (line,) = (text for text in str(caught.value).splitlines() if "missing" in text)
    assert "disk for the copies of the frames" in line and f"in {full_disk}" in line
    assert "make results a link" in str(caught.value)
    assert "set splits.links: symlink" in str(caught.value)


def test_what_lies_on_one_disk_must_fit_there_together(mount_disk, equip, tmp_path):
    dataset = folder_of_videos(tmp_path / "videos", width=320, height=240)
    folder, block = tmp_path / "disk", 4096
    copied = config(dataset=dataset, links="copy")
    frames, copies = (need.space.size for need in frame_space.needs(copied, block))
    assert copies == pytest.approx(1.3 * frames)
    mount_disk(f"size={round((frames + copies) * 0.8)}")
    for name in ("resources", "results"):
        (tmp_path / name).symlink_to(folder)
    found = verdicts(machine.look(copied, ngc=False))
    assert found["disk for the frames"] == "ok"
    assert found["disk for the copies of the frames"] == "missing"


def test_the_files_must_fit_as_well_as_their_bytes(mount_disk, equip, tmp_path):
    dataset = folder_of_videos(tmp_path / "videos")
    (tmp_path / "resources").symlink_to(mount_disk("size=64m,nr_inodes=50"))
    with pytest.raises(InputError, match=r"49 files free, about \d+ needed[\s\S]*df -i"):
        machine.require(machine.look(config(dataset=dataset), ngc=False))


def test_an_image_file_its_layers_and_its_parts_must_fit_where_they_will_lie(
    full_disk, equip, tmp_path, monkeypatch
):
    monkeypatch.setenv("APPTAINER_TMPDIR", str(full_disk))
    monkeypatch.delenv("APPTAINER_CACHEDIR", raising=False)
    checks = machine.look(config(runner="apptainer"), ngc=False)
    found = {check.name: check for check in checks if check.name.startswith("disk for ")}
    assert {"disk for the image", "disk for the image's layers"} <= found.keys()
    unpacking = found["disk for unpacking the image"]
    assert unpacking.fix == "export APPTAINER_TMPDIR=..." and str(full_disk) in unpacking.state
    file = Path(runners.images(config(runner="apptainer")["tao"])[0])
    file.parent.mkdir(parents=True)
    file.touch()
    names = verdicts(machine.look(config(runner="apptainer"), ngc=False))
    assert "disk for unpacking the image" not in names, "it is here already"


@pytest.mark.parametrize("there", [True, False])
def test_the_disk_for_decoded_frames_is_looked_at(equip, tmp_path, monkeypatch, there):
    monkeypatch.setenv("ACTIONREC_FRAME_DISK", str(tmp_path if there else tmp_path / "none"))
    found = verdicts(machine.look(config(), ngc=False))["ACTIONREC_FRAME_DISK"]
    assert found == ("ok" if there else "missing")


@pytest.mark.parametrize("key", ["nvapi-s3cret\n", "nvapi-s3cret€"])
def test_a_key_that_is_none_is_told_and_not_shown(equip, monkeypatch, key):
    monkeypatch.setenv("NGC_API_KEY", key)
    checks = machine.look(config(), ngc=True)
    assert verdicts(checks)["NGC key"] == ("ok" if key.endswith("\n") else "missing")
    assert "s3cret" not in machine.table(checks)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": "folder", "path": "~/nowhere"}, r"nowhere[\s\S]*correct dataset\.path"),
        ({"source": "folder", "path": "."}, r"\./?wave|wave[\s\S]*correct dataset\.classes"),
        ({"source": "table", "path": {"val": "v.csv"}}, r"v\.csv[\s\S]*correct dataset\.path\.val"),
        ({"source": "table", "path": ".", "videos": "gone"}, r"gone[\s\S]*correct dataset\.videos"),
        ({"source": "shad", "path": "gone"}, r"gone[\s\S]*correct dataset\.path"),
        (
            {"source": "archives", "archives": {"videos": {"path": "a.rar"}}},
            r"a\.rar[\s\S]*correct dataset\.archives\.videos\.path",
        ),
    ],
)
def test_a_path_of_the_dataset_that_is_not_there_is_named_with_its_key(equip, changes, said):
    with pytest.raises(InputError, match=said):
        machine.require(machine.look(config(dataset=changes), ngc=False))


def test_an_archive_may_be_gone_once_the_frames_are_there(equip, tmp_path):
    for cls in ("wave", "clap"):
        table = tmp_path / f"results/mine/tables/frames/{cls}.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        table.touch()
    archives = {"source": "archives", "archives": {"videos": {"path": "a.rar"}}}
    machine.require(machine.look(config(dataset=archives), ngc=False))


def write_noisy_middle(path: Path) -> None:
    """Write a video of 50 frames, plain but for the ten in the middle, where one is sampled."""
    path.parent.mkdir(parents=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (320, 240))
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    for index in range(50):
        writer.write(noise if 20 <= index < 30 else np.full_like(noise, index))
    writer.release()


@pytest.fixture
def mine(mount_disk, tmp_path):
    """Return a clone on a disk of 64 MB; the frames take 5 MB, and some 20 by estimate."""
    for cls in ("clap", "wave"):
        write_noisy_middle(tmp_path / "videos" / cls / "a.avi")
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
    frames = ["results/mine/tables/frames/clap.tsv", "results/mine/tables/frames/wave.tsv"]
    rest = leave_free(mine, 8 * 10**6)
    said = snakemake(mine, "--cores", "1", *frames)
    (warning,) = (line for line in said.splitlines() if WARNING in line)
    assert "0.0 GB free" in warning and "set frames.format: jpg" in warning
    assert all((mine / path).exists() for path in frames)
    assert WARNING not in snakemake(mine, "--cores", "1", "dataset")
    rest.unlink()
    assert WARNING not in snakemake(mine, "--cores", "1", "-F", *frames)


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
