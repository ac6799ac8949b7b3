"""Checkpoint files: whole or not at all, and files from unknown sources."""

import hashlib
import pickle

import pytest
import torch

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.checkpoints import lightning
from actionrec.spec.load import make_spec
from helpers.engine import LABELS


def spec_of(**model):
    model = {"rgb_seq_length": 2, "rgb_pretrained_num_classes": 0, **model}
    return make_spec({"model": model, "dataset": {"label_map": LABELS}}, "test")


def saved(path, classes: int, **model):
    """Save a fresh network's weights as Lightning would; return the network."""
    network = networks.build(spec_of(**model).model, classes)
    torch.save({"state_dict": network.state_dict(prefix="model."), "epoch": 1}, path)
    return network


class Harm:
    """What a pickle from an unknown source could do."""

    def __reduce__(self):
        return (print, ("harm",))


def test_files_that_are_no_checkpoints_are_refused(tmp_path, capsys):
    path = tmp_path / "file.pth"
    with pytest.raises(InputError, match="does not exist"):
        lightning.read(path, "key")
    torch.save({"state_dict": Harm()}, path)
    with pytest.raises(InputError, match="tensors and plain values"):
        lightning.read(path, "key")
    path.write_bytes(pickle.dumps({"state_dict": Harm()}))
    with pytest.raises(InputError, match="tensors and plain values"):
        lightning.read(path, "key")
    assert "harm" not in capsys.readouterr().out
    saved(path, 2)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="damaged"):
        lightning.read(path, "key")
    torch.save({"state_dict": b"secret", "state_dict_encrypted": "nvidia_tao"}, path)
    with pytest.raises(InputError, match="encrypted"):
        lightning.read(path, "key")


def test_saving_replaces_whole_files_and_the_link_is_relative(tmp_path):
    path = tmp_path / lightning.checkpoint_name(3, 42)
    assert path.name == "model_epoch_003_step_00042.pth"
    lightning.save(path, {"state_dict": {}, "epoch": 3})
    lightning.link_latest(path)
    latest = tmp_path / "ar_model_latest.pth"
    assert str(latest.readlink()) == path.name
    with pytest.raises(AttributeError):  # functions cannot be pickled
        lightning.save(path, {"state_dict": {}, "callbacks": lambda: 0})
    assert lightning.read(latest, "key")["epoch"] == 3
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == [latest.name, path.name, f"{path.name}.sha256"]
    digest = (tmp_path / names[2]).read_text().split()[0]
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
