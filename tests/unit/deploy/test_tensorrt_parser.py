"""NVIDIA's own ONNX parser takes every network's export, and its builder the small ones.

For TensorRT for RTX, whose parser and builder need no GPU. It is left out where the package is
missing, as in CI, for which it is too large: `pip install -e .[tensorrt]`.
"""

import pytest

from actionrec.deploy.onnx_graph import append_softmax, write_fp16
from actionrec.native import networks
from actionrec.native.export import example_inputs, write_onnx
from actionrec.spec.load import make_spec

trt = pytest.importorskip("tensorrt_rtx_bindings", reason="too large for CI: see the module")

RESNETS = ("resnet_18", "resnet_34", "resnet_50", "resnet_101", "resnet_152")
FORMS = [(backbone, form) for backbone in RESNETS for form in ("2d", "3d")] + [("i3d", "3d")]
NETWORKS = [(*form, streams) for form in FORMS for streams in ("rgb", "of", "joint")]
BATCHES = (1, 4, 16)
CAPABILITY = trt.ComputeCapability.SM86  # a GPU that need not be there


@pytest.fixture
def export(tmp_path):
    """Return a function that exports a network with random weights."""

    def made(backbone, form, streams):
        frames = 9 if backbone == "i3d" else 3
        values = {
            "backbone": backbone,
            "input_type": form,
            "model_type": streams,
            "rgb_seq_length": frames,
            "of_seq_length": frames,
        }
        model = make_spec({"model": values}, "test").model
        path = tmp_path / "model.onnx"
        write_onnx(networks.build(model, 5).eval(), example_inputs(model, 3), path)
        shapes = {f"input_{name}": s for name, s in networks.input_shapes(model).items()}
        return path, shapes

    return made


class Network:
    """An ONNX file as TensorRT reads it."""

    def __init__(self, path, shapes):
        self.builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
        self.network = self.builder.create_network(0)
        self.parser = trt.OnnxParser(self.network, trt.Logger(trt.Logger.ERROR))
        self.parsed = self.parser.parse_from_file(str(path))
        self.shapes = shapes

    @property
    def errors(self):
        return [self.parser.get_error(i).desc() for i in range(self.parser.num_errors)]

    @property
    def inputs(self):
        found = (self.network.get_input(i) for i in range(self.network.num_inputs))
        return {tensor.name: tuple(tensor.shape) for tensor in found}

    @property
    def outputs(self):
        found = (self.network.get_output(i) for i in range(self.network.num_outputs))
        return {tensor.name: tuple(tensor.shape) for tensor in found}

    def build(self):
        """Return the engine, for clips of BATCHES and a GPU that is not there."""
        config, profile = self.builder.create_builder_config(), None
        profile = self.builder.create_optimization_profile()
        for name, shape in self.shapes.items():
            profile.set_shape(name, *((batch, *shape) for batch in BATCHES))
        config.add_optimization_profile(profile)
        config.num_compute_capabilities = 1
        config.set_compute_capability(CAPABILITY, 0)
        return self.builder.build_serialized_network(self.network, config)


@pytest.mark.parametrize(("backbone", "form", "streams"), NETWORKS)
def test_every_networks_export_parses(export, backbone, form, streams):
    path, shapes = export(backbone, form, streams)
    found = Network(path, shapes)
    assert found.parsed, found.errors
    assert found.inputs == {name: (-1, *shape) for name, shape in shapes.items()}
    assert found.outputs == {"fc_pred": (-1, 5)}
    if backbone == "resnet_18":
        assert found.build().nbytes > 2**20


@pytest.mark.parametrize("kind", ["softmax", "softmax only", "fp16"])
def test_the_other_forms_of_an_export_parse_and_build(export, tmp_path, kind):
    path, shapes = export("resnet_18", "3d", "rgb")
    changed = tmp_path / "changed.onnx"
    if kind == "fp16":
        write_fp16(path, changed)
    else:
        append_softmax(path, changed, "fc_pred", only=kind == "softmax only")
    found = Network(changed, shapes)
    assert found.parsed, found.errors
    outputs = {"softmax": 2, "softmax only": 1, "fp16": 1}
    assert len(found.outputs) == outputs[kind]
    assert found.build().nbytes > 2**20


def test_a_file_that_is_no_network_has_an_error(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no network")
    found = Network(tmp_path / "x.onnx", {})
    assert not found.parsed
    assert found.errors
