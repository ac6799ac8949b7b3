"""The export task: write a checkpoint as ONNX, and compare it with PyTorch before it is kept."""

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
TOLERANCE = 1e-4  # relative to the largest logit


def export(spec: DictConfig, spec_path: Path, log: StatusLog, folder: Path) -> None:
    """Write export.checkpoint to export.onnx_file, by default the checkpoint's name with .onnx.

    The interface is TAO 7.3's: the input `input_rgb` has the shape (batch, 3, T, H, W), for 2d
    (batch, 3 * T, H, W), `input_of` has 2 in place of 3, and a joint network has both inputs. The
    output `fc_pred` holds logits (batch, classes). The batch size is free, and batch normalisation
    is folded into the convolutions. Raises `InputError` if the file exists, as TAO does, and
    `RuntimeError` if ONNX Runtime's logits differ from PyTorch's.
    """
    checkpoint = require_key(spec, "export.checkpoint", spec_path)
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
        write_onnx(network, example_inputs(spec.model, 3), part)
        _compare(network, example_inputs(spec.model, 2), part)


def example_inputs(model: DictConfig, batch_size: int) -> dict[str, torch.Tensor]:
    """Return random clips for a network, by the names of its ONNX inputs."""
    shapes = networks.input_shapes(model)
    return {f"input_{stream}": torch.rand(batch_size, *shape) for stream, shape in shapes.items()}


def _argument(inputs: dict[str, torch.Tensor]) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """Return inputs as a network takes them: a joint one takes a tuple."""
    clips = tuple(inputs.values())
    return clips if len(clips) > 1 else clips[0]


def write_onnx(network: nn.Module, example: dict[str, torch.Tensor], path: Path) -> None:
    """Write a network in evaluation mode as ONNX, traced with `example` inputs."""
    with warnings.catch_warnings():
        # This exporter folds batch normalisation, and warns that there is a newer one.
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
    """Raise `RuntimeError` unless ONNX Runtime computes the network's logits."""
    import onnxruntime  # here, because it takes long to import and only this needs it

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run([OUTPUT], {name: clip.numpy() for name, clip in clips.items()})
    with torch.inference_mode():
        expected = network(_argument(clips)).numpy()
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise RuntimeError(f"ONNX and PyTorch logits differ by {difference}")
