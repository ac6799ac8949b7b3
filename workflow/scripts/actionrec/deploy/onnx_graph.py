"""Change an ONNX file: metadata, a softmax, half precision."""

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from actionrec.utils.files import replacing

PROBABILITIES = "probabilities"


def embed_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Write metadata into an ONNX file, in place; entries of other names stay."""
    model = onnx.load(path)
    for name, value in metadata.items():
        entries = [entry for entry in model.metadata_props if entry.key == name]
        entry = entries[0] if entries else model.metadata_props.add()
        entry.key, entry.value = name, value
    _save(model, path)


def append_softmax(source: Path, target: Path, logits: str, *, only: bool = False) -> None:
    """Write a model with the output `probabilities`: next to the logits, or in their place.

    Next to them TAO's interface stays as it is. DeepStream takes each output for a classifier of
    its own, so there the probabilities must be the `only` one.
    """
    model = onnx.load(source)
    outputs = {output.name: output for output in model.graph.output}
    classes = outputs[logits].type.tensor_type.shape.dim[1].dim_value
    batch = outputs[logits].type.tensor_type.shape.dim[0].dim_param or "batch"
    if PROBABILITIES not in outputs:
        node = helper.make_node("Softmax", [logits], [PROBABILITIES], axis=1, name=PROBABILITIES)
        model.graph.node.append(node)
        shape = [batch, classes]
        info = helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, shape)
        model.graph.output.append(info)
    if only:
        for name, output in outputs.items():
            if name != PROBABILITIES:
                model.graph.output.remove(output)
    onnx.checker.check_model(model)
    _save(model, target)


def write_fp16(source: Path, target: Path) -> None:
    """Write a model whose weights and layers are float16, its inputs and outputs float32."""
    import logging

    from onnxruntime.transformers.float16 import convert_float_to_float16

    # It logs each weight that is too small for float16, which the comparison afterwards measures.
    logging.getLogger("onnxruntime.transformers.float16").setLevel(logging.ERROR)
    _save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def _save(model: onnx.ModelProto, path: Path) -> None:
    with replacing(path) as part:
        onnx.save(model, part)
