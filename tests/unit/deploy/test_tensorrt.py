"""TensorRT engines, with a stand-in for `trtexec` that computes with ONNX Runtime."""

import json
from pathlib import Path

import pytest

from actionrec.deploy.tensorrt import Builder, build_engine
from actionrec.errors import InputError
from helpers import path_with_trtexec


@pytest.fixture
def builder(tmp_path, monkeypatch):
    """Return a builder whose trtexec is the stand-in."""
    monkeypatch.setenv("PATH", path_with_trtexec())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return Builder("native", tmp_path / "log.txt")


def build(export: Path, target: Path, builder: Builder) -> None:
    build_engine(export, target, builder, precision="fp16", batch=[1, 4, 16])


def test_an_engine_with_its_timing_and_comparison(export, tmp_path, builder):
    build(export, tmp_path / "trt", builder)
    report = json.loads((tmp_path / "trt/report.json").read_text())
    assert report["latency_ms"] == 0.93
    assert report["batches_per_second"] == 1234.5
    assert report["difference"] < 1e-6
    files = {path.name for path in (tmp_path / "trt").iterdir()} - {"runner"}
    assert files == {"model.plan", "report.json", "trtexec.log"}
    said = builder.log.read_text()
    assert "PASSED" in said


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("fails", "no CUDA-capable device"),
        ("nothing", "trtexec failed"),
        ("wrong", "does not compute what the ONNX file does"),
    ],
)
def test_a_failure_is_told_and_leaves_the_old_engine(
    export, tmp_path, builder, monkeypatch, fault, said
):
    (tmp_path / "trt").mkdir()
    (tmp_path / "trt/model.plan").write_bytes(b"old")
    monkeypatch.setenv("FAULT", fault)
    with pytest.raises(InputError, match=said):
        build(export, tmp_path / "trt", builder)
    assert (tmp_path / "trt/model.plan").read_bytes() == b"old"


def test_without_trtexec_the_error_says_what_is_missing(export, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="finds no `trtexec`"):
        build(export, tmp_path / "trt", Builder("native", tmp_path / "log.txt"))
