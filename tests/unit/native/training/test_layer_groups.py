"""Parts of a network that are frozen, or trained at a rate of their own."""

import pytest
import torch

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.networks.i3d import MIXED
from actionrec.native.training import layer_groups
from actionrec.native.training.sgd import build_optimizer
from actionrec.spec.load import check_spec, make_spec
from actionrec.spec.native_keys import STAGES
from helpers.engine import LABELS

I3D = {"backbone": "i3d", "input_type": "3d", "rgb_seq_length": 9}


def spec_of(native=None, **model):
    model = {"rgb_pretrained_model_path": "a.pth", **model}
    values = {"model": model, "dataset": {"label_map": LABELS}, "native": native or {}}
    return make_spec(values, "test")


@pytest.mark.parametrize("model", [{}, {"input_type": "3d"}, {"model_type": "joint"}, I3D])
def test_every_tensor_of_a_network_but_the_classifiers_has_a_stage(model):
    with torch.device("meta"):
        network = networks.build(spec_of(**model).model, 2)
    without = {name.rsplit(".", 1)[0] for name in network.state_dict() if stage(name) is None}
    heads = {name for name in without if name.endswith(("fc_cls", "fc1", "fc2", "logits.conv3d"))}
    assert without == heads
    assert {stage(name) for name in network.state_dict()} == {*STAGES, None}
    assert set(MIXED) <= set(layer_groups.STAGE_OF_LAYER)


def stage(name):
    return layer_groups.stage_of(name)


def test_frozen_parts_keep_weights_and_statistics():
    spec = spec_of({"freeze": ["stem", "layer1"]})
    network = networks.build(spec.model, 2)
    layer_groups.freeze(network, spec)
    layer_groups.set_train_mode(network, spec)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = build_optimizer(layer_groups.parameter_groups(network, spec), spec.train.optim)
    network(torch.randn(4, 9, 32, 32)).sum().backward()
    optimizer.step()
    changed = {
        name for name, value in network.state_dict().items() if (value != before[name]).any()
    }
    assert {stage(name) for name in changed} == {"layer2", "layer3", "layer4", None}
    assert "layer2.0.bn1.running_mean" in changed


def test_rates_of_parts_are_shares_of_the_rate():
    spec = spec_of({"lr_factors": {"stem": 0.1, "layer1": 0.1, "layer3": 0.5}})
    network = networks.build(spec.model, 2)
    groups = layer_groups.parameter_groups(network, spec)
    rate = spec.train.optim.lr
    assert [group["lr"] for group in groups] == pytest.approx([rate, rate * 0.5, rate * 0.1])
    names = {id(value): name for name, value in network.named_parameters()}
    assert {stage(names[id(p)]) for p in groups[2]["params"]} == {"stem", "layer1"}
    assert sum(len(group["params"]) for group in groups) == len(names)


def test_without_settings_there_is_one_group_in_the_networks_order():
    spec = spec_of()
    network = networks.build(spec.model, 2)
    (group,) = layer_groups.parameter_groups(network, spec)
    assert all(a is b for a, b in zip(group["params"], network.parameters(), strict=True))


def test_random_weights_are_not_frozen():
    spec = spec_of({"freeze": ["stem"]}, model_type="joint")
    with pytest.raises(InputError, match="no weights for the stream of"):
        layer_groups.freeze(networks.build(spec.model, 2), spec)


def test_a_part_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"layer5[\s\S]*stem, layer1, layer2, layer3, layer4"):
        check_spec(spec_of({"freeze": ["layer5"]}), "test.yaml")
