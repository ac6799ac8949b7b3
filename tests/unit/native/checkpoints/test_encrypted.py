"""Encrypted checkpoints; skipped where no Python for NVIDIA's encryption is found."""

import os
import pickle
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from actionrec.errors import InputError
from actionrec.experiments import pretrained
from actionrec.native.checkpoints import encrypted, lightning
from actionrec.spec.toolkits import KEY_REFERENCE
from actionrec.weights import encryption
from helpers.engine import command, curve, environment, read_golden, run, statuses, write_spec

SECRET = "a-key-that-belongs-into-no-file"


@pytest.fixture(scope="module", autouse=True)
def _codec() -> None:
    if not encryption.is_ready() and encryption.find_python() is None:
        pytest.skip("no Python 3.12 or 3.10 on this machine: uv python install 3.12")
    encryption.prepare()


@pytest.fixture
def key(monkeypatch) -> str:
    monkeypatch.setenv("TAO_KEY", SECRET)
    return SECRET


def small() -> dict:
    """Return a checkpoint with shared and scalar tensors, as a network's state has."""
    state = {"model.fc_cls.weight": torch.randn(5, 8), "model.n": torch.tensor(3)}
    return {"state_dict": state, "epoch": 1}


def test_only_the_weights_are_encrypted_and_they_are_equal_when_read(key, tmp_path):
    checkpoint = small()
    lightning.save(tmp_path / "a.pth", checkpoint, encrypt=True)
    raw = torch.load(tmp_path / "a.pth", weights_only=True)
    assert isinstance(raw["state_dict"], bytes) and len(raw["state_dict_encrypted"]) == 10
    assert raw["epoch"] == 1 and b"fc_cls" not in raw["state_dict"]
    back = lightning.read(tmp_path / "a.pth", "here")
    assert back.keys() == checkpoint.keys()
    for name, tensor in checkpoint["state_dict"].items():
        assert torch.equal(back["state_dict"][name], tensor)


def test_nvidias_code_is_given_no_encrypted_weights_without_the_key(key, tmp_path):
    clear, secret = str(tmp_path / "a.pth"), str(tmp_path / "b.pth")
    lightning.save(Path(clear), small())
    lightning.save(Path(secret), small(), encrypt=True)
    pretrained.refuse_encrypted([clear])
    with pytest.raises(InputError, match=r"b\.pth is encrypted"):
        pretrained.refuse_encrypted([clear, secret])


def test_a_wrong_key_is_reported(key, tmp_path, monkeypatch):
    lightning.save(tmp_path / "a.pth", small(), encrypt=True)
    monkeypatch.setenv("TAO_KEY", "another")
    with pytest.raises(InputError, match=r"does not decrypt") as caught:
        lightning.read(tmp_path / "a.pth", "evaluate.checkpoint")
    assert "export TAO_KEY" in str(caught.value) and "another" not in str(caught.value)


@pytest.mark.parametrize("key_saved_with", ["nvidia_tao", SECRET])
def test_without_tao_key_the_public_key_is_used(key_saved_with, tmp_path, monkeypatch):
    monkeypatch.setenv("TAO_KEY", key_saved_with)
    lightning.save(tmp_path / "a.pth", small(), encrypt=True)
    monkeypatch.delenv("TAO_KEY")
    if key_saved_with == encryption.PUBLIC_KEY:
        assert lightning.num_classes_of(tmp_path / "a.pth") == 5
    else:
        with pytest.raises(InputError, match="nvidia_tao"):
            lightning.num_classes_of(tmp_path / "a.pth")


@pytest.mark.parametrize("of", ["rgb_2d_r18_seq3", "of_3d_r18", "rgb_3d_i3d", "joint_2d_r18"])
def test_the_classes_of_every_network_are_counted(of, key, tmp_path):
    """Names and shapes are NVIDIA's, all with two classes; here the heads have seven."""
    shapes = read_golden("state_dicts.json")[of]["sd"]
    heads = [name for name in shapes if name.removeprefix("model.") in lightning.CLASSIFIERS]
    state = {name: torch.zeros(7, *shapes[name][1:]) for name in heads}
    lightning.save(tmp_path / "a.pth", {"state_dict": state}, encrypt=True)
    assert lightning.num_classes_of(tmp_path / "a.pth") == 7


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize("content", [{"a": Evil()}, Evil(), [1], {"a": 1}])
def test_nothing_but_tensors_is_unpickled(content, key, tmp_path, monkeypatch):
    """Anybody who knows the key can encrypt anything."""
    monkeypatch.chdir(tmp_path)
    kind, secret = encryption.encrypt(pickle.dumps(content))
    torch.save({"state_dict": secret, encrypted.KIND: kind}, "a.pth")
    with pytest.raises(InputError, match="does not decrypt"):
        lightning.read("a.pth", "here")
    assert not Path("evil").exists()


@pytest.mark.parametrize("kind", ["--x", "", 3, "a\0b"])
def test_unknown_kinds_of_encryption_are_refused(kind, key, tmp_path):
    torch.save({"state_dict": b"noise", encrypted.KIND: kind or ["x"]}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="no encrypted checkpoint"):
        lightning.read(tmp_path / "a.pth", "here")


def files_with(text: str, folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]


@pytest.fixture(scope="module")
def trained(drawn, tmp_path_factory) -> Path:
    """Return the spec of a whole training with a key."""
    root = tmp_path_factory.mktemp("encrypted")
    spec = write_spec(root / "spec.yaml", drawn, root / "results", encryption_key=KEY_REFERENCE)
    done = run("train", spec, TAO_KEY=SECRET)
    assert done.returncode == 0, done.stderr
    return spec


@pytest.mark.slow
def test_training_encrypts_its_checkpoints_and_writes_the_key_nowhere(trained):
    folder = trained.parent / "results" / "train"
    for path in folder.glob("model_*.pth"):
        assert isinstance(torch.load(path, weights_only=True)["state_dict"], bytes)
    written = OmegaConf.load(folder / "experiment.yaml")
    assert OmegaConf.to_container(written)["encryption_key"] == KEY_REFERENCE
    assert files_with(SECRET, trained.parent) == []


@pytest.mark.slow
def test_a_literal_key_of_a_spec_is_not_copied(trained, drawn, tmp_path):
    results = trained.parent / "results"
    spec = write_spec(tmp_path / "spec.yaml", drawn, results, encryption_key=SECRET)
    done = run("evaluate", spec, f"evaluate.results_dir={tmp_path / 'evaluate'}")
    assert done.returncode == 0, done.stderr
    assert statuses(tmp_path / "evaluate")[-1]["message"] == "Evaluate finished successfully."
    assert files_with(SECRET, tmp_path / "evaluate") == []


@pytest.mark.slow
def test_a_wrong_or_empty_key_fails_the_task(trained):
    wrong = run("evaluate", trained, TAO_KEY="wrong")
    assert wrong.returncode == 1 and "does not decrypt" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    empty = run("evaluate", trained, TAO_KEY="")
    assert empty.returncode == 1 and "unset TAO_KEY" in empty.stderr


@pytest.mark.slow
def test_a_killed_encrypted_training_resumes(trained, drawn, tmp_path):
    spec = write_spec(
        tmp_path / "spec.yaml", drawn, tmp_path / "results", encryption_key=KEY_REFERENCE
    )
    folder = tmp_path / "results" / "train"
    variables = {**environment(), "TAO_KEY": SECRET}
    with subprocess.Popen(command("train", spec), env=variables) as process:
        while not (folder / lightning.LATEST).exists():
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert run("train", spec, TAO_KEY=SECRET).returncode == 0
    assert any("Resuming training" in line["message"] for line in statuses(folder))
    assert curve(folder) == curve(trained.parent / "results" / "train")


@pytest.mark.slow
def test_a_training_starts_from_encrypted_weights_and_a_wrong_number_of_classes_is_reported(
    trained, drawn, tmp_path
):
    weights = trained.parent / "results" / "train" / lightning.LATEST
    changes = {"model.rgb_pretrained_model_path": str(weights), "train.num_epochs": 1}
    spec = write_spec(tmp_path / "spec.yaml", drawn, tmp_path / "results", **changes)
    wrong = run("train", spec, "model.rgb_pretrained_num_classes=5", TAO_KEY=SECRET)
    assert wrong.returncode == 1
    assert "set model.rgb_pretrained_num_classes to 2" in wrong.stderr
    right = run("train", spec, "model.rgb_pretrained_num_classes=2", TAO_KEY=SECRET)
    assert right.returncode == 0, right.stderr
