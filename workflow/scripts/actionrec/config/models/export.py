"""The sections `export` and `predict`: the deployable forms of a model, and its use."""

from typing import Annotated, Literal

from pydantic import Field

from actionrec.config.models.section import Fraction, Section, Shown, Text, Unique


class TensorRtConfig(Section):
    """A TensorRT engine."""

    precision: Literal["fp16", "fp32"]
    """Precision of its layers; NVIDIA documents no int8 for this network."""
    batch: Annotated[
        list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3), Shown("three numbers")
    ]
    """The smallest, the usual and the largest batch."""


class ExportConfig(Section):
    """The deployable forms of a model."""

    etlt: Literal["auto", "always", "never"] = "auto"
    """Also write the encrypted `.etlt`; `auto`: where NVIDIA's encryption is installed.

    NVIDIA's encryption runs in a small environment of Python 3.12 or 3.10 on x86-64. `make`, or
    `python -m actionrec.utils.environments encryption`, makes it where it finds such a Python. The
    key is taken from the environment variable `TAO_KEY`, by default TAO's public `nvidia_tao`.
    """
    softmax: bool = False
    """Add the output `probabilities` to `model.onnx`; TAO's `fc_pred` stays the first."""
    precision: Literal["fp32", "fp16"] = "fp32"
    """`fp16`: also write `model.fp16.onnx`, half the size, compared with the original."""
    keep: Annotated[Fraction, Shown("between 0 and 1")] = 0.95
    """Share of the right answers on the validation part that the threshold for `unknown` keeps."""
    verify: bool = True
    """Predict the original test videos with the exported model, and fail where labels differ."""
    margin: Annotated[float, Field(ge=0, le=1), Shown("between 0 and 1")] = 0.001
    """For `verify`: how far ahead the score of another label may be."""
    deepstream: Annotated[Literal["9.1", "6.3"] | None, Shown("`9.1`, `6.3`")] = None
    """Also write a package for this DeepStream version; quote it.

    For networks of `model_type: rgb` without `val_center_crop`. `6.3` takes an encrypted model, so
    it needs the environment of NVIDIA's encryption.
    """
    triton: Annotated[Literal["onnx", "tensorrt"] | None, Shown("`onnx`, `tensorrt`")] = None
    """Also write a model repository for Triton, which runs it with this backend."""
    tensorrt: Annotated[TensorRtConfig | None, Shown("`{precision: fp16, batch: [1, 4, 16]}`")] = (
        None
    )
    """Also build a TensorRT engine with `trtexec`, on a GPU, and compare it with the ONNX file.

    `trtexec` is taken from PATH, or from the container where `tao.runner` is one. `batch` are the
    smallest, the usual and the largest batch.
    """


class PredictConfig(Section):
    """New videos to predict with the trained models."""

    videos: Annotated[Text | None, Shown("a path")] = None
    """A folder of videos, a video, or a list of them (`.csv`); nothing is predicted without it."""
    experiments: Annotated[
        Annotated[list[str], Unique] | None, Shown("a list of experiments", "all")
    ] = None
    """Which experiments predict them."""
    annotate: bool = False
    """Also write each video with the predictions drawn on it (`.webm`)."""
    chunk: Annotated[int, Field(ge=1)] = 100
    """Videos of one job, about."""
