"""DeepStream's and Triton's packages: what the generated files say, read back."""

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from actionrec.deploy import deepstream, onnx_graph, package_checks, triton
from actionrec.deploy.model_card import read_card
from actionrec.deploy.preparation import Preparation
from actionrec.deploy.reading import read_clips
from actionrec.deploy.session import Model, softmax
from actionrec.errors import InputError
from actionrec.frames.decoder.video import open_video
from actionrec.frames.segments import FrameSource
from actionrec.spec.load import make_spec
from helpers import REPOSITORY, write_video
from helpers.deepstream import Preprocessing, classify, read_config
from helpers.exports import make_export

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize("flat", [False, True])
def test_deepstreams_clips_give_the_scores_of_the_engine(tmp_path, flat):
    export = make_export(
        tmp_path / "export", frames=4, strategy="consecutive", rate=3, flat=flat, size=32
    )
    deepstream.write_package(export, tmp_path / "ds", "9.1")
    video = write_video(tmp_path / "a.avi", frames=12, width=64, height=48)
    preprocessing = Preprocessing.read(tmp_path / "ds")
    assert preprocessing.subsample == 2
    with open_video(video, pixels="rgb24") as opened:
        images = [Image.fromarray(frame.image) for frame in opened.frames()]
    # The filter is the engine's: DeepStream's own is another, which no machine here has.
    frames = [np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)) for image in images]
    clip = preprocessing.clips(frames)[0]
    # The centre clip of 12 frames begins with the first: (12 - 4 * 3 + 1) // 2 is 0.
    (expected,) = read_clips(FrameSource(video, "a"), Preparation(read_card(export))).clips
    np.testing.assert_allclose(clip, expected["input_rgb"], atol=1e-5)
    session = onnxruntime.InferenceSession(tmp_path / "ds/model.onnx")
    assert [output.name for output in session.get_outputs()] == ["probabilities"]
    (scores,) = session.run(None, {"input_rgb": clip[None]})
    np.testing.assert_allclose(scores, Model(export).scores([expected]), atol=1e-5)
    infer = read_config(tmp_path / "ds/config_infer.txt")
    labels = (tmp_path / "ds" / infer["property"]["labelfile-path"]).read_text()
    assert labels.count("\n") == 1
    threshold = float(infer["class-attrs-all"]["threshold"])
    best = read_card(export).labels[int(scores[0].argmax())]
    assert classify(scores[0], labels, threshold) == best


def test_imagenets_mean_and_std_are_deepstreams_numbers(tmp_path):
    export = make_export(tmp_path / "export")
    card = json.loads((export / "model.json").read_text())
    card["inputs"][0].update(mean=IMAGENET[0], std=IMAGENET[1])
    (export / "model.json").write_text(json.dumps(card))
    deepstream.write_package(export, tmp_path / "ds", "9.1")
    user = read_config(tmp_path / "ds/config_preprocess.txt")["user-configs"]
    assert user["channel-mean-offsets"] == "123.675;116.28;103.53"
    assert user["channel-scale-factors"] == "0.017124754;0.017507003;0.017429194"


def test_an_interval_is_as_long_as_the_training_videos(export, tmp_path):
    deepstream.write_package(export, tmp_path / "ds", "9.1")
    # 1.0 s at 30 frames a second are 30 frames, of which a clip has 4.
    assert Preprocessing.read(tmp_path / "ds").subsample == round(30 / 4) - 1
    assert "whole video" in (tmp_path / "ds/README.md").read_text()


def test_no_value_is_left_over_from_a_template(export, tmp_path):
    deepstream.write_package(export, tmp_path / "ds", "9.1")
    triton.write_package(export, tmp_path / "tr", "tensorrt")
    for path in [*(tmp_path / "ds").rglob("*.txt"), *(tmp_path / "tr").rglob("*.*t*")]:
        if path.suffix != ".onnx":
            assert not {"{{", "{%", "None"} & set(path.read_text().split()), path


def test_a_label_with_a_semicolon_is_refused(export, tmp_path):
    card = json.loads((export / "model.json").read_text())
    card["labels"][0] = "a;b"
    (export / "model.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="semicolons"):
        deepstream.write_package(export, tmp_path / "ds", "9.1")
    assert not (tmp_path / "ds").exists()


CONFIG = {
    "export": {
        "deepstream": "9.1",
        "triton": None,
        "tensorrt": None,
        "softmax": False,
        "precision": "fp32",
    },
    "predict": {"videos": None, "experiments": None},
    "experiments": {"e": {}},
    "tao": {"toolkit": "7.3.0"},
}


@pytest.mark.parametrize("kind", ["of", "joint"])
def test_flow_is_refused_for_deepstream_with_the_reason(kind):
    spec = make_spec({"model": {"model_type": kind}}, "test")
    with pytest.raises(InputError, match="colour frames only"):
        package_checks.check_packages(CONFIG, {"e": spec}, "model.onnx")


def test_old_toolkits_have_no_packages():
    with pytest.raises(InputError, match="no ONNX file"):
        package_checks.check_packages(CONFIG, {}, "model.etlt")


@pytest.mark.parametrize("softmaxed", [False, True])
@pytest.mark.parametrize("kind", ["onnx", "tensorrt"])
def test_tritons_configuration_is_that_of_the_onnx_file(tmp_path, kind, softmaxed):
    pytest.importorskip("tritonclient.grpc", reason="pip install tritonclient[grpc]")
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    export = make_export(tmp_path / "export", softmax=softmaxed)
    triton.write_package(export, tmp_path / "tr", kind)
    repository = tmp_path / "tr/models/actionrec"
    text = (repository / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    graph = onnx.load(export / "model.onnx").graph
    for parts, known in ((config.input, graph.input), (config.output, graph.output)):
        shapes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
            for value in known
        }
        assert {part.name: list(part.dims) for part in parts} == shapes
        assert {part.data_type for part in parts} == {model_config_pb2.TYPE_FP32}
    assert config.name == repository.name
    assert (repository / "1/model.onnx").exists() == (kind == "onnx")
    assert config.default_model_filename == {"onnx": "model.onnx", "tensorrt": "model.plan"}[kind]


def test_tritons_client_asks_for_what_actionrec_computes(export, tmp_path):
    """A stand-in for the server runs the model of the repository."""
    triton.write_package(export, tmp_path / "tr", "onnx")
    (tmp_path / "tritonclient").mkdir()
    (tmp_path / "tritonclient/__init__.py").touch()
    (tmp_path / "tritonclient/http.py").write_text(STAND_IN)
    video = write_video(tmp_path / "a.avi", frames=12)
    done = subprocess.run(
        [sys.executable, tmp_path / "tr/client.py", video, "here:1"],
        env={
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY / 'workflow/scripts'}:{tmp_path}",
            "MODELS": str(tmp_path / "tr/models"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    model = Model(export)
    clips = read_clips(FrameSource(video, "a"), Preparation(model.card)).clips
    scores = dict(zip(model.card.labels, model.scores(clips)[0].round(6), strict=True))
    assert json.loads(done.stdout) == pytest.approx(scores, abs=2e-6)


STAND_IN = """
import os
import onnxruntime

class InferInput:
    def __init__(self, name, shape, kind):
        self.name, self.shape = name, shape
        assert kind == "FP32"
    def set_data_from_numpy(self, array):
        assert list(array.shape) == self.shape and array.dtype == "float32"
        self.array = array

class InferenceServerClient:
    def __init__(self, address):
        assert address == "here:1"
    def infer(self, name, inputs):
        session = onnxruntime.InferenceSession(f"{os.environ['MODELS']}/{name}/1/model.onnx")
        names = [output.name for output in session.get_outputs()]
        found = session.run(names, {part.name: part.array for part in inputs})
        class Result:
            as_numpy = staticmethod(dict(zip(names, found)).get)
        return Result
"""


def test_the_softmax_of_a_package_is_that_of_the_logits(export, tmp_path):
    onnx_graph.append_softmax(export / "model.onnx", tmp_path / "s.onnx", "fc_pred", only=True)
    clip = {"input_rgb": np.random.default_rng(0).normal(0, 1, (2, 3, 4, 32, 32)).astype("f4")}
    (logits,) = onnxruntime.InferenceSession(export / "model.onnx").run(None, clip)
    (scores,) = onnxruntime.InferenceSession(tmp_path / "s.onnx").run(None, clip)
    np.testing.assert_allclose(scores, softmax(logits), atol=1e-6)
