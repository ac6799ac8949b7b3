"""Convert a model to half precision, and compare it with the original."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actionrec.deploy import onnx_graph
from actionrec.deploy.model_card import Description
from actionrec.deploy.session import softmax
from actionrec.errors import InputError

FP16_LIMIT = 0.02  # of a probability: half precision has three digits
_CHECKED_CLIPS = 8

log = logging.getLogger(__name__)


def convert_fp16(source: Path, target: Path, description: Mapping[str, Any]) -> None:
    """Write a model in half precision, and compare its probabilities with the original's.

    Raises `InputError` when one differs by more than FP16_LIMIT on random clips.
    """
    onnx_graph.write_fp16(source, target)
    network = Description.model_validate(description)
    draws = np.random.default_rng(1234)
    clips = {
        part.name: draws.standard_normal((_CHECKED_CLIPS, *part.shape), np.float32)
        for part in network.inputs
    }
    import onnxruntime

    def probabilities(path: Path) -> np.ndarray:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return softmax(session.run(None, clips)[0])

    difference = float(np.abs(probabilities(source) - probabilities(target)).max())
    if not difference <= FP16_LIMIT:
        target.unlink()
        raise InputError(
            "Half precision changes the model's probabilities too much.",
            where=target,
            found=f"{difference:.4f} on random clips",
            allowed=f"up to {FP16_LIMIT}",
            fix="leave export.precision at fp32",
        )
    log.info("Half precision: probabilities differ by up to %.5f", difference)
