"""Run an exported model with ONNX Runtime, on the CPU or where it can on a GPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actionrec.deploy.model_card import NAME, UNKNOWN, ModelCard, read_card, verified_file
from actionrec.errors import InputError

_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class Model:
    """An exported model, its checksum verified. `logits` may be called from several threads."""

    def __init__(
        self,
        folder: Path,
        card: ModelCard | None = None,
        *,
        precision: str = "fp32",
        threads: int = 1,
        device: str = "auto",
        threshold: float | None = None,
    ) -> None:
        """Open the model of an export folder; `card` takes the place of its model.json.

        `threshold` takes the place of the calibrated one; 0 calls nothing `unknown`.
        """
        self._threshold = threshold
        self.folder = folder
        self.card = card or read_card(folder)
        path = verified_file(folder, self.card, precision)
        self._session = _session(path, threads, device)
        self._check_interface(path)

    @property
    def provider(self) -> str:
        """Return what computes: CPUExecutionProvider or CUDAExecutionProvider."""
        return str(self._session.get_providers()[0])

    @property
    def temperature(self) -> float:
        """Return what logits are divided by before the softmax."""
        return self.card.calibration.temperature if self.card.calibration else 1.0

    @property
    def threshold(self) -> float:
        """Return the score below which a prediction is `unknown`; 0 without a calibration."""
        if self._threshold is not None:
            return self._threshold
        return self.card.calibration.threshold if self.card.calibration else 0.0

    def logits(self, clips: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
        """Return the logits of clips, (clips, classes), float32."""
        feeds = {
            part.name: np.stack([clip[part.name] for clip in clips]) for part in self.card.inputs
        }
        return np.asarray(self._session.run([self.card.onnx.logits], feeds)[0])

    def scores(
        self, clips: Sequence[Mapping[str, np.ndarray]], *, calibrated: bool = True
    ) -> np.ndarray:
        """Return the probabilities of clips, (clips, classes)."""
        return softmax(self.logits(clips) / (self.temperature if calibrated else 1.0))

    def label(self, scores: np.ndarray) -> str:
        """Return the label of the highest of the probabilities, or `unknown`."""
        best = int(scores.argmax())
        return UNKNOWN if scores[best] < self.threshold else self.card.labels[best]

    def _check_interface(self, path: Path) -> None:
        found = {item.name: list(item.shape[1:]) for item in self._session.get_inputs()}
        stated = {part.name: list(part.shape) for part in self.card.inputs}
        classes = {item.name: item.shape[-1] for item in self._session.get_outputs()}
        if found != stated or classes.get(self.card.onnx.logits) != len(self.card.labels):
            raise InputError(
                "The model's inputs or outputs are not those of model.json.",
                where=path,
                found=f"{found} -> {classes}",
                allowed=f"{stated} -> {len(self.card.labels)} labels",
                fix=f"export again; {NAME} was changed",
            )


def _session(path: Path, threads: int, device: str) -> Any:
    import onnxruntime

    available = onnxruntime.get_available_providers()
    providers = [name for name in _PROVIDERS if name in available]
    if device == "cpu":
        providers = ["CPUExecutionProvider"]
    elif device == "cuda" and _PROVIDERS[0] not in available:
        raise InputError(
            "ONNX Runtime cannot use a GPU here.",
            where="--device",
            found="cuda",
            allowed=["auto", "cpu"],
            fix="pip install onnxruntime-gpu in place of onnxruntime",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would take the cores from those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime's own classes derive from nothing narrower
        raise InputError(
            "ONNX Runtime cannot load the model.",
            where=path,
            found=str(error)[:300],
            fix="export it again, or update onnxruntime",
        ) from error


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
