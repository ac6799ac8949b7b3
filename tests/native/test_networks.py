"""Networks: NVIDIA's names, shapes and logits."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from engine import fill, noise, read_golden

from actionrec import spec as specs
from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.networks.conv import FEW_POSITIONS, Conv3d

TOLERANCE = 1e-4  # of the largest logit: what the golden values' README allows
VARIANTS = {
    "rgb_2d_r18_seq3": {"input_type": "2d", "backbone": "resnet_18"},
    "rgb_3d_r18": {"input_type": "3d", "backbone": "resnet_18"},
    "rgb_2d_r50": {"input_type": "2d", "backbone": "resnet_50"},
    "rgb_3d_r50": {"input_type": "3d", "backbone": "resnet_50"},
}


def model_section(**values):
    return specs.merge({"model": values}, "test").model


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_have_nvidias_names_and_shapes(variant):
    golden = read_golden("state_dicts.json")[variant]
    network = networks.build(model_section(rgb_seq_length=3, **VARIANTS[variant]), 2)
    state = network.state_dict(prefix="model.")
    assert {name: list(value.shape) for name, value in state.items()} == golden["sd"]
    assert sum(parameter.numel() for parameter in network.parameters()) == golden["params"]


@pytest.mark.parametrize(
    "name", ["rgb_3d_resnet_18", "rgb_3d_resnet_18_long", "rgb_2d_resnet_18", "rgb_3d_resnet_50"]
)
def test_logits_are_nvidias(name):
    (golden,) = (case for case in read_golden("models.json") if case["name"] == name)
    values = dict(golden["model"])
    model, classes = model_section(**{k: v for k, v in values.items() if k != "classes"}), values
    network = networks.build(model, classes["classes"]).eval()
    fill(network)
    shape = (2, *networks.input_shapes(model)["rgb"])
    clips = torch.from_numpy(noise(int(np.prod(shape)), 0)).float().reshape(shape)
    with torch.no_grad():
        logits = network(clips).numpy()
    expected = np.array(golden["logits"])
    assert np.abs(logits - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("backbone", ["resnet_34", "resnet_101", "resnet_152"])
def test_deeper_networks_are_there(backbone):
    with torch.device("meta"):
        network = networks.build(model_section(backbone=backbone, input_type="3d"), 3)
        assert network(torch.empty(1, 3, 3, 64, 64)).shape == (1, 3)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"backbone": "i3d", "input_type": "3d"}, "model.backbone"),
        ({"model_type": "joint"}, "model.model_type"),
        ({"imagenet_pretrained": True}, "model.imagenet_pretrained"),
    ],
)
def test_networks_that_are_not_there_are_refused(values, name):
    with pytest.raises(InputError, match=name):
        networks.build(model_section(**values), 2)


@pytest.mark.parametrize("frames", [1, 2])  # one frame, and more
@pytest.mark.parametrize("size", [2, 8])  # few output positions, and many
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2)])
def test_the_convolution_and_its_gradients_are_pytorchs(frames, size, stride):
    torch.manual_seed(0)
    x = torch.randn(6 // frames, 5, frames, 2 * size, 2 * size, requires_grad=True)
    layer = Conv3d(5, 7, 3, stride=stride, padding=1, bias=False)
    y = layer(x)
    assert (y.numel() // 7 <= FEW_POSITIONS) == (size == 2)
    grad = torch.randn_like(y)
    found = torch.autograd.grad(y, (x, layer.weight), grad)
    reference = F.conv3d(x, layer.weight, None, stride, 1)
    expected = torch.autograd.grad(reference, (x, layer.weight), grad)
    torch.testing.assert_close(y, reference, rtol=1e-4, atol=1e-4)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
