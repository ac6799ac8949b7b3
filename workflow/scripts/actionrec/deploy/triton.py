"""A model repository for NVIDIA Triton, a client and what to type."""

import shutil
from pathlib import Path

from actionrec.deploy.model_card import NAME, read_card, verified_file
from actionrec.deploy.packages import BATCH, render
from actionrec.utils.files import replacing

MODEL = "actionrec"  # the name by which clients ask for the model


def write_package(export: Path, target: Path, kind: str) -> None:
    """Write the package of an export folder; `kind` is onnx or tensorrt.

    An engine runs only on the kind of GPU and the TensorRT version that made it, so with tensorrt
    the repository lacks it until the command in its README has made it there.
    """
    card = read_card(export)
    onnx = verified_file(export, card)
    outputs = [card.onnx.logits, *([card.onnx.probabilities] if card.onnx.probabilities else [])]
    values = {
        "name": MODEL,
        "kind": kind,
        "batch": BATCH,
        "inputs": card.inputs,
        "outputs": outputs,
        "classes": len(card.labels),
        "logits": card.onnx.logits,
    }
    with replacing(target) as folder:
        version = folder / "models" / MODEL / "1"
        version.mkdir(parents=True)
        shutil.copyfile(onnx, version / "model.onnx" if kind == "onnx" else folder / "model.onnx")
        shutil.copyfile(export / NAME, folder / NAME)
        render("triton_config.pbtxt.jinja", version.parent / "config.pbtxt", **values)
        render("triton_client.py.jinja", folder / "client.py", **values)
        render("triton_readme.md.jinja", folder / "README.md", **values)
