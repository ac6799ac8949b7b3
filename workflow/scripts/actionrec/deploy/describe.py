"""Make an export describe itself: metadata in the ONNX file, and model.json next to it."""

import logging
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from actionrec import __version__
from actionrec.dataset.split_table import Row, read_split
from actionrec.deploy import calibration, onnx_graph
from actionrec.deploy.model_card import (
    Calibration,
    Description,
    Flow,
    ModelCard,
    OnnxFile,
    Sampling,
    metadata_of,
    write_card,
)
from actionrec.deploy.predict import in_order
from actionrec.deploy.preparation import Preparation
from actionrec.deploy.reading import frames_clips
from actionrec.deploy.session import Model
from actionrec.errors import InputError, snakemake_command
from actionrec.frames import references
from actionrec.frames.manifest import FrameRecord, read_manifest
from actionrec.native.data.videos import list_labelled_videos
from actionrec.utils.files import sha256
from actionrec.utils.processes import usable_cores
from actionrec.utils.rule_script import Job, as_paths, optional
from actionrec.utils.small_files import read_object

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What model.json is made of.

    `data` is the run's folder of links to frames, `frames` the tables of the classes' frames in the
    order of the labels. `validation` is the part that validates, "val" or "test", and `keep` the
    share of right answers that the threshold keeps.
    """

    onnx: Path
    split: Path
    data: Path
    metrics: Path
    frames: Sequence[Path]
    description: Mapping[str, Any]
    clips: Mapping[str, Any]
    validation: str
    keep: float
    engine: str
    interlaced: str = "deinterlace"
    flow: Mapping[str, Any] | None = None
    fp16: Path | None = None

    @classmethod
    def of_rule(cls, snakemake: Job) -> "Parts":
        """Return what a rule's inputs and params say."""
        given, params = snakemake.input, snakemake.params
        return cls(
            onnx=Path(given.onnx),
            split=Path(given.split),
            data=Path(given.data),
            metrics=Path(given.metrics),
            frames=as_paths(given.frames),
            description=params.description,
            clips=params.clips,
            validation=params.validation,
            keep=params.keep,
            engine=params.engine,
            interlaced=params.interlaced,
            flow=params.flow,
            fp16=optional(given.fp16),
        )


def finish_export(path: Path | str, description: Mapping[str, Any], add_softmax: bool) -> None:
    """Write into an ONNX file how it is used, and append a softmax if that is wanted.

    An encrypted model stays as it is.

    The softmax is a second output, `probabilities`: the first stays TAO's, `fc_pred`, so that what
    reads the file today reads it then.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        return
    if add_softmax:
        onnx_graph.append_softmax(path, path, OnnxFile.model_fields["logits"].default)
    onnx_graph.embed_metadata(path, metadata_of(Description.model_validate(description)))


def describe(parts: Parts, target: Path) -> None:
    """Write model.json: the description, calibration, test figures, checksums and versions."""
    rows = read_split(parts.split)
    network = Description.model_validate(parts.description)
    card = ModelCard(
        onnx=onnx_file(parts.onnx),
        fp16=onnx_file(parts.fp16) if parts.fp16 else None,
        inputs=network.inputs,
        resize=network.resize,
        stored_as=_stored_as(rows, parts.split),
        interlaced="weave" if parts.interlaced == "weave" else "deinterlace",
        flow=Flow.model_validate(parts.flow) if parts.flow else None,
        sampling=_sampling(network, parts, rows),
        labels=network.labels,
        test=_test_figures(parts.metrics),
        engine=parts.engine,
        versions={name: version(name) for name in ("onnx", "onnxruntime", "av", "pillow")}
        | {"actionrec": __version__},
    )
    fitted, why = _calibrate(card, parts)
    if why:
        log.warning("No calibration, so no prediction is `unknown`: %s", why)
    update = {"calibration": fitted, "not_calibrated": why or None}
    write_card(target, card.model_copy(update=update))


def onnx_file(path: Path) -> OnnxFile:
    """Return what model.json says of an ONNX file."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    outputs = [output.name for output in graph.output]
    has_softmax = onnx_graph.PROBABILITIES in outputs
    return OnnxFile(
        file=path.name,
        sha256=sha256(path),
        logits=outputs[0],
        probabilities=onnx_graph.PROBABILITIES if has_softmax else None,
    )


def _stored_as(rows: Sequence[Row], split: Path) -> str:
    # Frames that stayed in their videos lose as little as PNG files.
    plain = (row.format.removesuffix(" woven") for row in rows)
    formats = sorted({re.sub(f"^{references.SUFFIX}\\b", "png", form) for form in plain})
    if len(formats) != 1:
        raise InputError(
            "The frames of a split are not all in one image format.",
            where=split,
            found=", ".join(formats),
            fix="extract the frames again: "
            + snakemake_command("dataset", "--forcerun", "extract_frames", "--cores", 1),
        )
    return formats[0]


def _sampling(network: Description, parts: Parts, rows: Sequence[Row]) -> Sampling:
    """Return the sampling with the seconds that the clips of training had."""
    records = {
        (table.stem, record.video): record
        for table in parts.frames
        for record in read_manifest(table)
    }
    trained = [records[row.cls, row.video] for row in rows if row.part == "train"]
    timed = [record for record in trained if record.fps > 0]
    known: dict[str, Any] = {}
    if timed:
        seconds = [record.frames / record.fps for record in timed]
        known = {
            "frame_rate": round(statistics.median(record.fps for record in timed), 3),
            "span_seconds": round(statistics.median(_spans(network, timed)), 3),
            "longest_video_seconds": round(max(seconds), 3),
        }
    return Sampling(strategy=network.strategy, rate=network.rate, **parts.clips, **known)


def _spans(network: Description, records: Sequence[FrameRecord]) -> list[float]:
    """Return how many seconds a clip of each video spans."""
    if network.strategy == "random_interval":
        return [record.frames / record.fps for record in records]
    frames = max(part.frames for part in network.inputs) * network.rate
    return [frames / record.fps for record in records]


def _test_figures(metrics: Path) -> dict[str, Any]:
    keys = "accuracy", "m_accuracy", "videos"
    content = read_object(metrics, *keys)
    return {key: content[key] for key in keys}


def _calibrate(card: ModelCard, parts: Parts) -> tuple[Calibration | None, str]:
    """Return the calibration by the validation part, or why there is none."""
    if parts.validation == "test":
        return None, "the test part picked the checkpoint (splits.validation: test)"
    folder = parts.data / parts.validation
    if not folder.is_dir() or not any(folder.iterdir()):
        return None, "the split has no validation part"
    labels = {label: index for index, label in enumerate(card.labels)}
    model_type = "joint" if len(card.inputs) > 1 else card.inputs[0].stream
    found = list_labelled_videos(folder, labels, str(folder), model_type)
    model, preparation = Model(parts.onnx.parent, card), Preparation(card)

    def logits_of(video: Any) -> np.ndarray:
        return model.logits(frames_clips(video, preparation))

    logits = list(in_order(logits_of, found, usable_cores()))
    videos = np.repeat(np.arange(len(found)), [len(rows) for rows in logits])
    try:
        return (
            calibration.fit(
                np.concatenate(logits),
                np.array([video.label for video in found]),
                videos,
                parts.keep,
            ),
            "",
        )
    except ValueError as error:
        return None, str(error)
