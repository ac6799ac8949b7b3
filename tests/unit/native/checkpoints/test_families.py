"""Weights of public networks, fitted to TAO's: random ones of the true names and shapes."""

import json

import pytest
import torch

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.checkpoints import lightning, pretrained
from actionrec.native.checkpoints.families import fit
from actionrec.native.networks.resnet import DEPTHS
from actionrec.spec.load import make_spec
from helpers.engine import LABELS
from helpers.public_networks import R3D18, FlatBlock, FlatBottleneck, KineticsResNet


def spec_of(**model):
    own = {"rgb_seq_length": 2, "rgb_pretrained_num_classes": 0, "of_pretrained_num_classes": 0}
    return make_spec({"model": own | model, "dataset": {"label_map": LABELS}}, "test")


@pytest.fixture(scope="module")
def r3d18(tmp_path_factory):
    """Return a file of random weights of r3d_18 and its network, with batch statistics."""
    torch.manual_seed(3)
    network = R3D18().eval()
    for name, value in network.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / "r3d_18.pth"
    torch.save(network.state_dict(), path)
    return path, network


def started(path, stream="rgb", **model):
    given = {"input_type": "3d", "model_type": stream, f"{stream}_pretrained_model_path": str(path)}
    return pretrained.start(spec_of(**given | model))


def test_r3d_18_has_the_names_and_shapes_that_pytorch_publishes(r3d18):
    shapes = {name: tuple(value.shape) for name, value in r3d18[1].state_dict().items()}
    assert len(shapes) == 122
    assert sum(p.numel() for p in r3d18[1].parameters()) == 33_371_472
    assert shapes["stem.0.weight"] == (64, 3, 3, 7, 7)
    assert shapes["layer2.0.conv1.0.weight"] == (128, 64, 3, 3, 3)
    assert shapes["layer4.0.downsample.0.weight"] == (512, 256, 1, 1, 1)


def test_r3d_18_is_renamed_and_its_first_layer_padded(r3d18):
    path, source = r3d18
    start = started(path)
    network = start.network.eval()
    assert lightning.num_classes_of(path) == 0
    origin = start.origins["rgb"]
    assert origin.family == "torchvision's video ResNet"
    assert origin.changes == {
        "new": ["fc_cls.weight", "fc_cls.bias"],
        "padded with zeros in time": ["conv1.weight"],
    }
    assert network.fc_cls.weight.shape == (2, 512)
    torch.testing.assert_close(
        network.layer3[0].downsample[1].running_var, source.layer3[0].downsample[1].running_var
    )
    # The first layer sees the same, at every second frame.
    clip = torch.randn(1, 3, 8, 32, 32)
    torch.testing.assert_close(
        network.relu(network.bn1(network.conv1(clip))), source.stem(clip)[:, :, ::2]
    )
    # One frame knows no stride through time: all blocks agree.
    ours = theirs = torch.randn(1, 64, 1, 16, 16)
    for number in range(1, 5):
        ours = getattr(network, f"layer{number}")(ours)
        theirs = getattr(source, f"layer{number}")(theirs)
        torch.testing.assert_close(ours, theirs)


def test_flow_starts_from_the_mean_over_the_channels(r3d18):
    path, source = r3d18
    start = started(path, "of")
    first = start.network.conv1.weight.detach()
    mean = source.stem[0].weight.detach().mean(dim=1)
    torch.testing.assert_close(first[:, 0, 1:4], mean)
    torch.testing.assert_close(first[:, 1, 1:4], mean)
    assert not first[:, :, [0, 4]].any()
    assert "averaged over channels" in start.origins["of"].changes


@pytest.mark.parametrize(
    ("backbone", "classes"),
    [("resnet_18", 700), ("resnet_18", 1039), ("resnet_34", 700), ("resnet_50", 1139)],
)
def test_weights_of_3d_resnets_are_cropped_in_the_first_layer(backbone, classes, tmp_path):
    depths = DEPTHS[backbone][1]
    block = FlatBottleneck if backbone == "resnet_50" else FlatBlock
    source = KineticsResNet(block, depths, classes)
    path = tmp_path / "r3d.pth"
    # As the project saves a network of several GPUs, with what a training needs to go on.
    state = {f"module.{name}": value for name, value in source.state_dict().items()}
    torch.save({"epoch": 200, "arch": "resnet", "state_dict": state, "optimizer": {}}, path)
    assert lightning.num_classes_of(path) == 0
    start = started(path, backbone=backbone)
    assert start.origins["rgb"].family == "3D-ResNets-PyTorch"
    assert start.origins["rgb"].changes["cropped in time"] == ["conv1.weight"]
    network = start.network.state_dict()
    assert (network["conv1.weight"] == source.conv1.weight[:, :, 1:6]).all()
    assert (network["layer3.1.conv2.weight"] == source.layer3[1].conv2.weight).all()


@pytest.mark.parametrize("backbone", ["resnet_101", "resnet_152"])
def test_deep_3d_resnets_have_the_names_and_shapes_of_taos(backbone):
    model = spec_of(input_type="3d", backbone=backbone).model
    with torch.device("meta"):  # shapes alone: the weights are a gigabyte
        source = KineticsResNet(FlatBottleneck, DEPTHS[backbone][1]).state_dict()
        own = networks.build(model, 2).state_dict()
        fitted = fit(source, own).state_dict
    assert {n: v.shape for n, v in fitted.items()} == {n: v.shape for n, v in own.items()}


def test_i3d_for_flow_starts_from_weights_for_frames():
    clips = {"backbone": "i3d", "input_type": "3d"}
    frames = spec_of(rgb_seq_length=9, **clips).model
    flow = spec_of(model_type="of", of_seq_length=9, **clips).model
    with torch.device("meta"):
        own = networks.build(flow, 2).state_dict()
        fitted = fit(networks.build(frames, 2).state_dict(), own)
    assert fitted.family == "TAO"
    assert fitted.changes == {"averaged over channels": ["Conv3d_1a_7x7.conv3d.weight"]}
    assert {n: v.shape for n, v in fitted.state_dict.items()} == {
        n: v.shape for n, v in own.items()
    }


def test_the_origin_of_the_weights_is_printed_and_recorded(r3d18, tmp_path, capsys):
    start = started(r3d18[0])
    start.record(tmp_path)
    assert "padded with zeros in time: conv1.weight" in capsys.readouterr().out
    content = json.loads((tmp_path / "pretrained.json").read_text())
    assert content["rgb"]["family"] == "torchvision's video ResNet"
    pretrained.start(spec_of()).record(tmp_path)
    assert not (tmp_path / "pretrained.json").exists()


def test_weights_that_do_not_fit_are_refused_by_name_and_shape(r3d18, tmp_path):
    path, source = r3d18
    with pytest.raises(InputError, match=r"torchvision's video ResNet[\s\S]*layer1.0.conv1"):
        started(path, backbone="resnet_50")
    with pytest.raises(InputError, match="another network"):
        started(path, input_type="2d")
    # mc3_18 has 2D kernels in its later layers.
    flat = {
        name: value.mean(dim=2, keepdim=True)
        if name.startswith("layer4") and value.dim() == 5
        else value
        for name, value in source.state_dict().items()
    }
    torch.save(flat, tmp_path / "mc3.pth")
    with pytest.raises(InputError, match=r"layer4.0.conv1.weight: \(512, 256, 1, 3, 3\) instead"):
        started(tmp_path / "mc3.pth")
    # The oldest files of 3D-ResNets-PyTorch have shortcuts without weights.
    old = KineticsResNet(FlatBlock, (2, 2, 2, 2)).state_dict()
    old = {name: value for name, value in old.items() if "downsample" not in name}
    torch.save(old, tmp_path / "old.pth")
    with pytest.raises(InputError, match=r"layer2.0.downsample.0.weight: missing"):
        started(tmp_path / "old.pth")
    torch.save(source.state_dict(), tmp_path / "half.pth")
    whole = (tmp_path / "half.pth").read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        started(tmp_path / "half.pth")
