"""A package for NVIDIA DeepStream: preprocessing and inference configurations, labels, the model.

The values are those that NVIDIA's sample for ActionRecognitionNet documents. No part of it has run
in DeepStream here.
"""

from pathlib import Path

from actionrec.deploy import onnx_graph
from actionrec.deploy.model_card import ModelCard, read_card, verified_file
from actionrec.deploy.packages import BATCH, render
from actionrec.errors import InputError
from actionrec.utils.files import replacing, write_text
from actionrec.weights import encryption

_SEPARATOR = ";"


def write_package(export: Path, target: Path, version: str) -> None:
    """Write the package of an export folder for a DeepStream version, 9.1 or 6.3.

    Raises `InputError` for a network that does not fit, or a label that DeepStream would divide.
    """
    card = read_card(export)
    _check(card, export)
    onnx = verified_file(export, card)
    with replacing(target) as folder:
        folder.mkdir()
        model = folder / "model.onnx"
        onnx_graph.append_softmax(onnx, model, card.onnx.logits, only=True)
        if version == "6.3":  # whose sample takes encrypted models
            encryption.encrypt_onnx(model, folder / "model.etlt")
            model.unlink()
        values = {"version": version, "batch": BATCH, **_values(card)}
        render("deepstream_infer.txt.jinja", folder / "config_infer.txt", **values)
        render("deepstream_preprocess.txt.jinja", folder / "config_preprocess.txt", **values)
        render("deepstream_app.txt.jinja", folder / "config_app.txt", **values)
        render("deepstream_readme.md.jinja", folder / "README.md", **values)
        # One line: with a label a line DeepStream takes each for a classifier of its own.
        write_text(folder / "labels.txt", _SEPARATOR.join(card.labels) + "\n")


def _check(card: ModelCard, export: Path) -> None:
    if card.streams != ("rgb",) or card.resize.rule != "stretch":
        raise InputError(
            "DeepStream makes clips of whole colour frames only.",
            where=export,
            found=f"{' and '.join(card.streams)}, {card.resize.rule}",
            allowed="rgb, stretch",
        )
    bad = [label for label in card.labels if _SEPARATOR in label]
    if bad:
        raise InputError(
            "DeepStream divides labels at semicolons.",
            where="dataset.classes",
            found=", ".join(bad),
            fix="rename these classes, or leave export.deepstream out",
        )


def _values(card: ModelCard) -> dict[str, object]:
    """Return what the templates need, derived from the model card."""
    (part,) = card.inputs
    frames = part.frames
    return {
        "input": part.name,
        "shape": _SEPARATOR.join(map(str, (BATCH, *part.shape))),
        "width": card.resize.width,
        "height": card.resize.height,
        # DeepStream computes x * scale - scale * offset.
        "scales": _SEPARATOR.join(f"{1 / (255 * std):.9f}" for std in part.std),
        "offsets": _SEPARATOR.join(f"{255 * mean:.6g}" for mean in part.mean),
        "frames": frames,
        "subsample": subsample(card),
        "stride": max(1, frames // 2),
        "interval": card.sampling.strategy == "random_interval",
        "span": card.sampling.span_seconds,
        "frame_rate": card.sampling.frame_rate,
        "labels": card.labels,
    }


def subsample(card: ModelCard) -> int:
    """Return how many frames to leave out between two of a clip.

    For random_interval it is what makes a window as long as the training videos were.
    """
    if card.sampling.strategy == "consecutive":
        return card.sampling.rate - 1
    span, rate = card.sampling.span_seconds, card.sampling.frame_rate
    return max(0, round((span or 0) * (rate or 0) / card.inputs[0].frames) - 1)
