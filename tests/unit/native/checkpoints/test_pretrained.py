"""Pretrained weights: TAO's rules for all networks, and ImageNet's."""

import pytest
import torch

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.checkpoints import lightning, pretrained
from actionrec.spec.load import make_spec
from helpers.engine import LABELS, same


def spec_of(**model):
    own = {"rgb_seq_length": 2, "rgb_pretrained_num_classes": 0, "of_pretrained_num_classes": 0}
    return make_spec({"model": own | model, "dataset": {"label_map": LABELS}}, "test")


def saved(path, classes: int, **model):
    """Save a fresh network's weights as Lightning would; return the network."""
    network = networks.build(spec_of(**model).model, classes)
    torch.save({"state_dict": network.state_dict(prefix="model.")}, path)
    return network


def all_same(network, other) -> bool:
    return all(same(network, other, name) for name in other.state_dict())


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """Return a folder with a 2D network for frames and one for flow, each of two classes."""
    folder = tmp_path_factory.mktemp("streams")
    for stream in ("rgb", "of"):
        saved(folder / f"{stream}.pth", 2, model_type=stream)
    return folder


def paths(folder, **files) -> dict[str, str]:
    return {f"{s}_pretrained_model_path": str(folder / f"{f}.pth") for s, f in files.items()}


def test_a_joint_network_keeps_the_classifiers_of_its_streams_as_in_tao(streams):
    joint = pretrained.initial_network(
        spec_of(
            model_type="joint",
            rgb_pretrained_num_classes=5,  # the default, which TAO does not look at here
            **paths(streams, rgb="rgb", of="of"),
        )
    )
    for stream in ("rgb", "of"):
        file = lightning.network_state_dict(lightning.read(streams / f"{stream}.pth", "test"))
        part = getattr(joint, f"model_{stream}").state_dict()
        assert all((part[name] == value).all() for name, value in file.items())


def test_a_joint_network_takes_streams_of_other_classes_if_the_spec_says_how_many(
    streams, tmp_path
):
    network = saved(tmp_path / "five.pth", 5)
    given = paths(tmp_path, rgb="five")
    joint = pretrained.initial_network(
        spec_of(model_type="joint", rgb_pretrained_num_classes=5, **given)
    )
    assert same(joint.model_rgb, network, "layer4.1.conv2.weight")
    assert joint.model_rgb.fc_cls.weight.shape == (2, 512)
    with pytest.raises(
        InputError, match=r"five\.pth has 5 classes; rgb_pretrained_num_classes is 3"
    ):
        pretrained.initial_network(
            spec_of(model_type="joint", rgb_pretrained_num_classes=3, **given)
        )


def test_a_whole_joint_checkpoint_loads_in_2d_too(tmp_path):
    network = saved(tmp_path / "joint.pth", 2, model_type="joint")
    given = paths(tmp_path, joint="joint")
    assert all_same(pretrained.initial_network(spec_of(model_type="joint", **given)), network)
    saved(tmp_path / "joint.pth", 3, model_type="joint")
    with pytest.raises(InputError, match=r"joint\.pth has 3 classes, dataset.label_map 2"):
        pretrained.initial_network(spec_of(model_type="joint", **given))


def test_flow_can_start_from_weights_for_frames(streams, tmp_path):
    rgb = lightning.network_state_dict(lightning.read(streams / "rgb.pth", "test"))
    started = pretrained.initial_network(spec_of(model_type="of", **paths(streams, of="rgb")))
    mean = rgb["conv1.weight"].mean(dim=1, keepdim=True)
    torch.testing.assert_close(started.conv1.weight.detach(), mean.expand(-1, 20, -1, -1))
    frames = saved(tmp_path / "rgb3.pth", 2, input_type="3d")
    spec = spec_of(model_type="of", input_type="3d", **paths(tmp_path, of="rgb3"))
    started = pretrained.start(spec)
    mean = frames.conv1.weight.mean(dim=1, keepdim=True)
    torch.testing.assert_close(started.network.conv1.weight, mean.expand(-1, 2, -1, -1, -1))
    assert started.origins["of"].changes == {"averaged over channels": ["conv1.weight"]}


def test_frames_do_not_start_from_weights_for_flow_in_3d(tmp_path):
    saved(tmp_path / "of3.pth", 2, model_type="of", input_type="3d")
    spec = spec_of(input_type="3d", **paths(tmp_path, rgb="of3"))
    with pytest.raises(InputError, match=r"conv1.weight: \(64, 2, 5, 7, 7\) instead of \(64, 3,"):
        pretrained.initial_network(spec)


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Return a file of a ResNet-18 as torchvision stores it, and its tensors."""
    network = networks.build(spec_of(rgb_seq_length=1).model, 1000)
    state = {name.replace("fc_cls", "fc"): value for name, value in network.state_dict().items()}
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    path = tmp_path_factory.mktemp("imagenet") / "resnet18.pth"
    torch.save(state, path)
    return path, state


@pytest.mark.parametrize("stream", ["rgb", "of"])
def test_imagenet_weights_are_inflated(stream, imagenet):
    path, state = imagenet
    given = {f"{stream}_pretrained_model_path": str(path), "imagenet_pretrained": True}
    spec = spec_of(model_type=stream, input_type="3d", **given)
    started = pretrained.initial_network(spec).state_dict()
    kernel = state["layer3.0.conv2.weight"]
    inflated = started["layer3.0.conv2.weight"]
    assert (inflated == kernel.unsqueeze(2) / 3).all()
    torch.testing.assert_close(inflated.sum(dim=2), kernel)
    first = started["conv1.weight"].sum(dim=2)
    mean = state["conv1.weight"].mean(dim=1, keepdim=True).expand(-1, 2, -1, -1)
    torch.testing.assert_close(first, state["conv1.weight"] if stream == "rgb" else mean)
    assert (started["layer2.0.bn2.running_var"] == state["layer2.0.bn2.running_var"]).all()
    assert started["fc_cls.weight"].shape == (2, 512)
    assert lightning.num_classes_of(path) == 0


def test_imagenet_weights_of_another_depth_are_refused(imagenet):
    spec = spec_of(
        backbone="resnet_34", input_type="3d", rgb_pretrained_model_path=str(imagenet[0])
    )
    with pytest.raises(InputError, match="another network"):
        pretrained.initial_network(spec)


def test_imagenet_weights_are_not_downloaded():
    with pytest.raises(InputError, match="rgb_ or of_pretrained_model_path"):
        pretrained.initial_network(spec_of(imagenet_pretrained=True))


def test_i3d_takes_the_public_kinetics_weights(tmp_path):
    clips = {"backbone": "i3d", "input_type": "3d", "rgb_seq_length": 9}
    network = networks.build(spec_of(**clips).model, 400)
    state = {k: v for k, v in network.state_dict().items() if "num_batches_tracked" not in k}
    path = tmp_path / "rgb_imagenet.pt"
    torch.save(state, path, _use_new_zipfile_serialization=False)  # as in 2017
    assert lightning.num_classes_of(path) == 400
    given = {"rgb_pretrained_model_path": str(path), **clips}
    started = pretrained.initial_network(spec_of(rgb_pretrained_num_classes=400, **given))
    assert same(started, network, "Mixed_5c.b2b.conv3d.weight")
    assert started.logits.conv3d.weight.shape == (2, 1024, 1, 1, 1)
    with pytest.raises(InputError, match=r"has 400 classes[\s\S]*num_classes to 400"):
        pretrained.initial_network(spec_of(rgb_pretrained_num_classes=5, **given))


@pytest.mark.parametrize("declared", [5, 2])
def test_a_declared_number_of_classes_replaces_the_classifier(declared, tmp_path):
    path = tmp_path / "base.pth"
    network = saved(path, declared)
    spec = spec_of(rgb_pretrained_model_path=str(path), rgb_pretrained_num_classes=declared)
    started = pretrained.initial_network(spec)
    assert same(started, network, "layer4.1.conv2.weight")
    assert started.fc_cls.weight.shape == (2, 512)
    assert declared != 2 or not same(started, network, "fc_cls.weight")


def test_zero_classes_keep_the_classifier(tmp_path):
    path = tmp_path / "base.pth"
    network = saved(path, 2)
    started = pretrained.initial_network(spec_of(rgb_pretrained_model_path=str(path)))
    assert all(same(started, network, name) for name in network.state_dict())


@pytest.mark.parametrize(("declared", "said"), [(4, "is 4"), (0, "stands for the 2")])
def test_a_wrong_number_of_classes_is_refused_with_the_right_one(declared, said, tmp_path):
    path = tmp_path / "base.pth"
    saved(path, 5)
    assert lightning.num_classes_of(path) == 5
    spec = spec_of(rgb_pretrained_model_path=str(path), rgb_pretrained_num_classes=declared)
    with pytest.raises(InputError, match=r"set model\.rgb_pretrained_num_classes to 5") as error:
        pretrained.initial_network(spec)
    assert said in str(error.value)


def test_a_2d_network_takes_the_mean_of_other_channels(tmp_path):
    path = tmp_path / "base.pth"
    network = saved(path, 2, rgb_seq_length=3)
    started = pretrained.initial_network(
        spec_of(rgb_pretrained_model_path=str(path), rgb_seq_length=2)
    )
    mean = network.conv1.weight.mean(dim=1, keepdim=True)
    torch.testing.assert_close(started.conv1.weight, mean.expand(-1, 6, -1, -1))


def test_a_2d_network_takes_imagenet_weights_without_their_classifier(tmp_path):
    path = tmp_path / "resnet18.pth"
    network = networks.build(spec_of(rgb_seq_length=1).model, 1000)
    state = {name.replace("fc_cls", "fc"): value for name, value in network.state_dict().items()}
    torch.save(state, path)
    started = pretrained.initial_network(spec_of(rgb_pretrained_model_path=str(path)))
    assert same(started, network, "layer1.0.conv1.weight")
    assert started.fc_cls.weight.shape == (2, 512)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "base.pth"
    saved(path, 2, input_type="3d")
    with pytest.raises(InputError, match=r"another network[\s\S]*tensors differ: conv1.weight"):
        pretrained.initial_network(spec_of(rgb_pretrained_model_path=str(path)))
    saved(path, 2, backbone="resnet_34")
    with pytest.raises(InputError, match="instead of nothing"):
        pretrained.initial_network(spec_of(rgb_pretrained_model_path=str(path)))
