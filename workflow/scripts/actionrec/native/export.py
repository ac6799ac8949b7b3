"""The export task: a checkpoint as ONNX, checked before it is published."""

import warnings
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import nn

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.checkpoints import lightning
from actionrec.native.status import StatusLog
from actionrec.spec.load import require_key
from actionrec.utils.files import replacing

OPSET = 17
OUTPUT = "fc_pred"
TOLERANCE = 1e-4  # of the largest logit


def export(spec: DictConfig, where: Path, log: StatusLog, folder: Path) -> None:
    """Write export.checkpoint to export.onnx_file, by default the checkpoint's name with .onnx.

    Input `input_rgb` (batch, 3, T, H, W), 2d (batch, 3 * T, H, W), or `input_of` with 2 in place
    of 3, or for a joint network both; output `fc_pred` (batch, classes), logits. Batch
    normalisation is folded into the convolutions; the batch size is free. Raises `InputError` if
    the file exists, as TAO does.
    """
    checkpoint = require_key(spec, "export.checkpoint", where)
    target = Path(spec.export.onnx_file or Path(checkpoint).with_suffix(".onnx"))
    if target.exists():
        raise InputError(
            "The ONNX file exists already.",
            where="spec: export.onnx_file",
            found=target,
            fix="remove it first",
        )
    network = lightning.load_network(spec, checkpoint, "export.checkpoint").eval()
    with replacing(target) as part:
        _write(network, _example(spec.model, 3), part)
        _compare(network, _example(spec.model, 2), part)


def _example(model: DictConfig, batch: int) -> dict[str, torch.Tensor]:
    """Return random clips by the name of the input."""
    shapes = networks.input_shapes(model)
    return {f"input_{stream}": torch.rand(batch, *shape) for stream, shape in shapes.items()}


def _argument(example: dict[str, torch.Tensor]) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """Return clips as a network takes them: a joint one takes a tuple."""
    clips = tuple(example.values())
    return clips if len(clips) > 1 else clips[0]


def _write(network: nn.Module, example: dict[str, torch.Tensor], path: Path) -> None:
    with warnings.catch_warnings():
        # The exporter that folds batch normalisation says that a newer one exists.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (_argument(example),),
            path,
            input_names=list(example),
            output_names=[OUTPUT],
            dynamic_axes={name: {0: "batch"} for name in (*example, OUTPUT)},
            opset_version=OPSET,
            dynamo=False,
        )


def _compare(network: nn.Module, clips: dict[str, torch.Tensor], path: Path) -> None:
    """Raise `RuntimeError` unless onnxruntime gives the network's logits."""
    import onnxruntime  # only needed here

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run([OUTPUT], {name: clip.numpy() for name, clip in clips.items()})
    with torch.inference_mode():
        expected = network(_argument(clips)).numpy()
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise RuntimeError(f"ONNX and PyTorch logits differ by {difference}")
