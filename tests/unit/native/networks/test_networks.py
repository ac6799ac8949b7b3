"""Networks: NVIDIA's names, shapes and logits."""

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.networks.conv import MATMUL_MAX_POSITIONS, Conv3d
from actionrec.spec.load import make_spec
from helpers.engine import fill, noise, read_golden

TOLERANCE = 1e-4  # of the largest logit: what the golden values' README allows


def model_section(**values):
    return make_spec({"model": values}, "test").model


VARIANTS = {case["name"]: case for case in read_golden("networks.json")}


@pytest.mark.parametrize("name", VARIANTS)
def test_names_shapes_and_their_order_are_those_of_nvidias_code(name):
    golden = VARIANTS[name]
    with torch.device("meta"):
        network = networks.build(model_section(**golden["model"]), golden["classes"])
    state = network.state_dict()
    table = "\n".join(f"{name} {list(value.shape)}" for name, value in state.items())
    assert len(state) == golden["tensors"]
    assert sum(parameter.numel() for parameter in network.parameters()) == golden["parameters"]
    assert hashlib.sha256(table.encode()).hexdigest() == golden["names_and_shapes"]


@pytest.mark.parametrize(
    ("variant", "model"),
    [
        ("rgb_2d_r18_seq3", {}),
        ("of_3d_r18", {"model_type": "of", "input_type": "3d"}),
        ("rgb_3d_i3d", {"backbone": "i3d", "input_type": "3d", "rgb_seq_length": 16}),
        ("joint_2d_r18", {"model_type": "joint"}),
    ],
)
def test_checkpoints_have_nvidias_names_and_shapes(variant, model):
    golden = read_golden("state_dicts.json")[variant]
    with torch.device("meta"):
        network = networks.build(model_section(**model), 2)
    state = network.state_dict(prefix="model.")
    assert {name: list(value.shape) for name, value in state.items()} == golden["sd"]


LOGITS = {case["name"]: case for case in read_golden("models.json")}
CHECKED = ("of_2d_resnet_18", "joint_2d_resnet_18", "rgb_2d_resnet_34", "of_3d_i3d")
LOGITS |= {f"{name}_small": VARIANTS[name] for name in CHECKED}


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_nvidias_code(name):
    golden = LOGITS[name]
    values = {"classes": golden.get("classes"), **golden["model"]}
    model = model_section(**{key: v for key, v in values.items() if key != "classes"})
    network = networks.build(model, values["classes"]).eval()
    fill(network)
    clips = []
    for stream, shape in networks.input_shapes(model).items():
        values = noise(2 * int(np.prod(shape)), ["rgb", "of"].index(stream))
        clips.append(torch.from_numpy(values).float().reshape(2, *shape))
    with torch.no_grad():
        logits = network(tuple(clips) if len(clips) == 2 else clips[0]).numpy()
    expected = np.array(golden["logits"])
    assert np.abs(logits - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_i3d_sees_all_of_larger_frames():
    with torch.device("meta"):
        model = model_section(backbone="i3d", input_type="3d", rgb_seq_length=9, input_width=256)
        network = networks.build(model, 3)
        clips = torch.empty(1, *networks.input_shapes(model)["rgb"])
        assert network(clips).shape == (1, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"input_type": "2d"}, r"model.input_type[\s\S]*found:   2d"),
        ({"rgb_seq_length": 8}, r"model.rgb_seq_length[\s\S]*found:   8[\s\S]*9 or more"),
        ({"input_height": 192}, r"model.input_height[\s\S]*found:   192[\s\S]*193 or more"),
        ({"model_type": "joint", "of_seq_length": 5}, r"model.of_seq_length[\s\S]*found:   5"),
    ],
)
def test_clips_that_i3d_cannot_take_are_refused(values, message):
    clips = {"backbone": "i3d", "input_type": "3d", "rgb_seq_length": 9}
    with pytest.raises(InputError, match=message):
        networks.build(model_section(**{**clips, **values}), 2)


@pytest.mark.parametrize("frames", [1, 2])  # one frame, and more
@pytest.mark.parametrize("size", [2, 8])  # few output positions, and many
@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2)])
def test_the_convolution_and_its_gradients_are_pytorchs(frames, size, stride):
    torch.manual_seed(0)
    x = torch.randn(6 // frames, 5, frames, 2 * size, 2 * size, requires_grad=True)
    layer = Conv3d(5, 7, 3, stride=stride, padding=1, bias=False)
    y = layer(x)
    assert (y.numel() // 7 <= MATMUL_MAX_POSITIONS) == (size == 2)
    grad = torch.randn_like(y)
    found = torch.autograd.grad(y, (x, layer.weight), grad)
    reference = F.conv3d(x, layer.weight, None, stride, 1)
    expected = torch.autograd.grad(reference, (x, layer.weight), grad)
    torch.testing.assert_close(y, reference, rtol=1e-4, atol=1e-4)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 4])
def test_bfloat16_gradients_on_a_cpu_are_those_of_float32_nearly(frames):
    torch.manual_seed(0)
    layer, clips = Conv3d(8, 16, 3, padding=1, bias=False), torch.randn(4, 8, frames, 12, 12)
    gradients = {}
    for half in (False, True):
        layer.zero_grad()
        seen = clips.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            out = layer(seen)
        assert out.dtype == (torch.bfloat16 if half else torch.float32)
        out.float().square().mean().backward()
        gradients[half] = layer.weight.grad.clone(), seen.grad
    for found, expected in zip(gradients[True], gradients[False], strict=True):
        assert (found - expected).norm() <= 0.02 * expected.norm()
