"""Checkpoints: the format, TAO's rules for pretrained weights, and files from strangers."""

import pickle

import pytest
import torch

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.checkpoints import lightning, pretrained
from actionrec.spec.load import make_spec
from helpers.engine import LABELS, same


def spec_of(**model):
    model = {"rgb_seq_length": 2, "rgb_pretrained_num_classes": 0, **model}
    return make_spec({"model": model, "dataset": {"label_map": LABELS}}, "test")


def saved(path, classes: int, **model):
    """Save a fresh network's weights as Lightning would; return the network."""
    network = networks.build(spec_of(**model).model, classes)
    torch.save({"state_dict": network.state_dict(prefix="model."), "epoch": 1}, path)
    return network


@pytest.mark.parametrize("declared", [5, 2])
def test_a_declared_number_of_classes_replaces_the_head(declared, tmp_path):
    path = tmp_path / "base.pth"
    network = saved(path, declared)
    spec = spec_of(rgb_pretrained_model_path=str(path), rgb_pretrained_num_classes=declared)
    started = pretrained.start_network(spec)
    assert same(started, network, "layer4.1.conv2.weight")
    assert started.fc_cls.weight.shape == (2, 512)
    assert declared != 2 or not same(started, network, "fc_cls.weight")


def test_zero_keeps_the_head(tmp_path):
    path = tmp_path / "base.pth"
    network = saved(path, 2)
    started = pretrained.start_network(spec_of(rgb_pretrained_model_path=str(path)))
    assert all(same(started, network, name) for name in network.state_dict())


@pytest.mark.parametrize(("declared", "said"), [(4, "is 4"), (0, "stands for the 2")])
def test_a_wrong_number_of_classes_is_refused_with_the_right_one(declared, said, tmp_path):
    path = tmp_path / "base.pth"
    saved(path, 5)
    assert lightning.num_classes_of(path) == 5
    spec = spec_of(rgb_pretrained_model_path=str(path), rgb_pretrained_num_classes=declared)
    with pytest.raises(InputError, match=r"set model\.rgb_pretrained_num_classes to 5") as error:
        pretrained.start_network(spec)
    assert said in str(error.value)


def test_a_2d_network_takes_other_channels_by_their_mean(tmp_path):
    path = tmp_path / "base.pth"
    network = saved(path, 2, rgb_seq_length=3)
    started = pretrained.start_network(
        spec_of(rgb_pretrained_model_path=str(path), rgb_seq_length=2)
    )
    mean = network.conv1.weight.mean(dim=1, keepdim=True)
    torch.testing.assert_close(started.conv1.weight, mean.expand(-1, 6, -1, -1))


def test_a_2d_network_takes_imagenet_weights_without_their_classifier(tmp_path):
    path = tmp_path / "resnet18.pth"
    network = networks.build(spec_of(rgb_seq_length=1).model, 1000)
    state = {name.replace("fc_cls", "fc"): value for name, value in network.state_dict().items()}
    torch.save(state, path)
    started = pretrained.start_network(spec_of(rgb_pretrained_model_path=str(path)))
    assert same(started, network, "layer1.0.conv1.weight")
    assert started.fc_cls.weight.shape == (2, 512)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "base.pth"
    saved(path, 2, input_type="3d")
    with pytest.raises(InputError, match=r"another network[\s\S]*tensors differ: conv1.weight"):
        pretrained.start_network(spec_of(rgb_pretrained_model_path=str(path)))
    saved(path, 2, backbone="resnet_34")
    with pytest.raises(InputError, match="instead of nothing"):
        pretrained.start_network(spec_of(rgb_pretrained_model_path=str(path)))


class Harm:
    """What a stranger's pickle could do."""

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
    path = tmp_path / lightning.name_of(3, 42)
    assert path.name == "model_epoch_003_step_00042.pth"
    lightning.save(path, {"state_dict": {}, "epoch": 3})
    lightning.link_latest(path)
    latest = tmp_path / "ar_model_latest.pth"
    assert str(latest.readlink()) == path.name
    with pytest.raises(AttributeError):  # functions cannot be pickled
        lightning.save(path, {"state_dict": lambda: 0})
    assert lightning.read(latest, "key")["epoch"] == 3
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [latest.name, path.name]
