"""A small exported model whose answers are known: it tells videos by their brightest channel."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from actionrec.deploy.describe import finish_export, onnx_file
from actionrec.deploy.model_card import Description, ModelCard, write_card

LABELS = ("red", "green", "blue")


def description(
    frames=4, size=32, strategy="random_interval", rate=1, flat=False, streams=("rgb",)
):
    """Return what a spec would say of the model."""
    inputs = []
    for stream in streams:
        channels = 3 if stream == "rgb" else 2
        shape = [channels * frames, size, size] if flat else [channels, frames, size, size]
        inputs.append(
            {
                "name": f"input_{stream}",
                "stream": stream,
                "shape": shape,
                "layout": "N(CT)HW" if flat else "NCTHW",
                "channels": [str(i) for i in range(channels)],
                "frames": frames,
                "mean": [0.5] * channels,
                "std": [0.5] * channels,
            }
        )
    return {
        "inputs": inputs,
        "resize": {"width": size, "height": size, "rule": "stretch"},
        "labels": LABELS,
        "strategy": strategy,
        "rate": rate,
    }


def write_model(path: Path, described) -> None:
    """Write an ONNX model: four times the mean of each channel of the first input."""
    part = described["inputs"][0]
    channels = 3 if part["stream"] == "rgb" else 2
    frames, size = part["frames"], described["resize"]["width"]
    batch = ["batch", *part["shape"]]
    shape = np.array([0, channels, frames * size * size], np.int64)
    weights = np.zeros((channels, len(LABELS)), np.float32)
    weights[:, :channels] = 4 * np.eye(channels, dtype=np.float32)
    nodes = [
        helper.make_node("Reshape", [part["name"], "shape"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["means"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["fc_pred"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info(part["name"], TensorProto.FLOAT, batch)],
        [helper.make_tensor_value_info("fc_pred", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [numpy_helper.from_array(shape, "shape"), numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def make_export(folder: Path, *, softmax=False, calibration=None, sampling=None, **options) -> Path:
    """Write an export folder of the model that tells colours apart."""
    described = description(**options)
    folder.mkdir(parents=True)
    write_model(folder / "model.onnx", described)
    finish_export(folder / "model.onnx", described, softmax)
    network = Description.model_validate(described)
    known = {"frame_rate": 30.0, "span_seconds": 1.0, "longest_video_seconds": 2.0}
    card = ModelCard(
        onnx=onnx_file(folder / "model.onnx"),
        inputs=network.inputs,
        resize=network.resize,
        sampling={"strategy": network.strategy, "rate": network.rate, **(sampling or known)},
        labels=network.labels,
        calibration=calibration,
        flow={"method": "dis", "preset": "medium", "mapping": "max_rad"}
        if "of" in options.get("streams", ())
        else None,
    )
    write_card(folder / "model.json", card)
    return folder


def change_card(export: Path, change) -> None:
    """Let `change` alter the content of an export's model.json."""
    content = json.loads((export / "model.json").read_text())
    change(content)
    (export / "model.json").write_text(json.dumps(content))


COLOURS = {"red": (0, 0, 220), "green": (0, 220, 0), "blue": (220, 0, 0)}


def coloured(name: str, width=64, height=48) -> np.ndarray:
    """Return a BGR frame of one colour."""
    return np.full((height, width, 3), COLOURS[name], np.uint8)


def write_colours(path: Path, *parts, rate=30, codec="mpeg4") -> Path:
    """Write a video that shows each (colour, seconds) after the other."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for colour, seconds in parts:
            for _ in range(round(seconds * rate)):
                frame = av.VideoFrame.from_ndarray(coloured(colour), format="bgr24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
