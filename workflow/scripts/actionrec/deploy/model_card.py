"""model.json: all that is needed to use an exported model without the code that made it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actionrec.errors import InputError, snakemake_command
from actionrec.utils.files import sha256, write_text
from actionrec.utils.small_files import read_text

NAME = "model.json"
METADATA = "actionrec.model"  # the key in the metadata of an ONNX file
UNKNOWN = "unknown"  # the label of a prediction below the threshold


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Input(_Part):
    """One input of the network: `shape` without the batch, `frames` of `stream` rgb or of."""

    name: str
    stream: Literal["rgb", "of"]
    shape: tuple[int, ...]
    dtype: Literal["float32"] = "float32"
    layout: Literal["NCTHW", "N(CT)HW"]
    """`N(CT)HW`: all frames of the first channel, then all of the second."""
    channels: tuple[str, ...]
    frames: int
    mean: tuple[float, ...]
    """Of a channel, after division by 255: x = (pixel / 255 - mean) / std."""
    std: tuple[float, ...]


class Resize(_Part):
    """How a frame gets the network's size."""

    width: int
    height: int
    rule: Literal["stretch", "shorter_edge_and_centre_crop"]
    shorter_edge: int | None = None
    filter: Literal["bilinear, antialiased (Pillow's BILINEAR)"] = (
        "bilinear, antialiased (Pillow's BILINEAR)"
    )


class Flow(_Part):
    """How optical flow was made."""

    method: str
    preset: str
    mapping: str


class Sampling(_Part):
    """Which frames of a video a clip has: of `mode` and `segments` see native/data/frame_sampling.

    Seconds and frame rate are medians over the training videos, but for the longest.
    """

    strategy: Literal["random_interval", "consecutive"]
    rate: int
    mode: str = "center"
    segments: int = 1
    frame_rate: float | None = None
    span_seconds: float | None = None
    """From the first to the last frame of a clip, and for as long as that is shown."""
    longest_video_seconds: float | None = None


class Calibration(_Part):
    """What makes scores honest: softmax(logits / temperature), and `unknown` below `threshold`."""

    temperature: Annotated[float, Field(gt=0)]
    threshold: Annotated[float, Field(ge=0, le=1)]
    keep: float
    """Share of the right answers on the validation videos that the threshold keeps."""
    videos: int
    error_before: float
    """Expected calibration error on the validation videos, 0 to 1, of 15 bins."""
    error_after: float


class OnnxFile(_Part):
    """A file next to model.json."""

    file: str
    sha256: str
    logits: str = "fc_pred"
    probabilities: str | None = None
    """The output that is softmax(logits), without the temperature."""


class Description(_Part):
    """What the spec of a network says; the same is in the metadata of the ONNX file."""

    inputs: tuple[Input, ...]
    resize: Resize
    labels: tuple[str, ...]
    strategy: Literal["random_interval", "consecutive"]
    rate: int


class ModelCard(_Part):
    """The content of model.json."""

    format: Literal[1] = 1
    onnx: OnnxFile
    fp16: OnnxFile | None = None
    inputs: tuple[Input, ...]
    resize: Resize
    stored_as: str = "png"
    """The image format between video and network in training: `jpg 95` loses what JPEG loses."""
    interlaced: Literal["deinterlace", "weave"] = "deinterlace"
    """What becomes of frames that hold two moments."""
    flow: Flow | None = None
    sampling: Sampling
    labels: tuple[str, ...]
    calibration: Calibration | None = None
    not_calibrated: str | None = None
    """Why there is no calibration."""
    test: dict[str, Any] = Field(default_factory=dict)
    engine: str = ""
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def streams(self) -> tuple[str, ...]:
        """Return the network's streams, in the order of its inputs."""
        return tuple(part.stream for part in self.inputs)

    @property
    def needs_flow(self) -> bool:
        """Tell whether the network sees optical flow."""
        return "of" in self.streams

    def file_of(self, precision: str) -> OnnxFile | None:
        """Return the ONNX file of a precision, fp32 or fp16."""
        return self.fp16 if precision == "fp16" else self.onnx


def write_card(path: Path | str, card: ModelCard) -> None:
    """Write model.json."""
    write_text(path, json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")


def read_card(folder: Path) -> ModelCard:
    """Read model.json of an export folder; raise `InputError` when there is none, or a bad one."""
    path = folder / NAME
    try:
        return ModelCard.model_validate_json(read_text(path))
    except FileNotFoundError:
        raise InputError(
            "The folder holds no model.json, which says how the model is used.",
            where=folder,
            allowed="the folder export/ of an experiment",
            fix=f"correct the path, or write it: {snakemake_command('export', '--cores', 2)}",
        ) from None
    except ValidationError as error:
        inner = folder / "export"  # of an experiment's split, which has another model.json
        raise InputError(
            "model.json is damaged, of another version, or not that of an export.",
            where=path,
            found=_first(error),
            allowed="the folder export/ of an experiment",
            fix=f"name {inner}" if (inner / NAME).exists() else "export the model again",
        ) from error


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)


def verified_file(folder: Path, card: ModelCard, precision: str = "fp32") -> Path:
    """Return the ONNX file of a precision; raise `InputError` unless it is the one described."""
    described = card.file_of(precision)
    if described is None:
        raise InputError(
            "The export has no model of this precision.",
            where=folder / NAME,
            found=precision,
            allowed=["fp32"],
            fix="set export.precision: fp16 in the configuration, and export again",
        )
    path = folder / Path(described.file).name  # a name with folders in it leads nowhere else
    if not path.is_file():
        raise InputError(
            "The model is missing.", where=path, fix="copy the whole export folder, or export again"
        )
    found = sha256(path)
    if found != described.sha256:
        raise InputError(
            "The ONNX file is not the one that model.json describes: damaged, or exchanged.",
            where=path,
            found=f"sha256 {found}",
            allowed=[described.sha256],
            fix="copy both files from the export folder again, or export again",
        )
    return path


def metadata_of(description: Description) -> Mapping[str, str]:
    """Return a description as the metadata of an ONNX file: whole, and its main parts readable."""
    return {
        METADATA: json.dumps(description.model_dump(mode="json"), ensure_ascii=False),
        "labels": ";".join(description.labels),
        "sampling": f"{description.strategy}, rate {description.rate}",
        "input": "; ".join(
            f"{part.name}: {part.layout}, {', '.join(part.channels)}, "
            f"(pixel / 255 - {list(part.mean)}) / {list(part.std)}"
            for part in description.inputs
        ),
    }
