"""Verify an exported model on the original test videos, through the code that users run."""

import json
import logging
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from actionrec.dataset.split_table import read_split
from actionrec.deploy.calibration import calibration_error
from actionrec.deploy.half_precision import FP16_LIMIT
from actionrec.deploy.model_card import UNKNOWN
from actionrec.deploy.predict import Prediction, in_order, predict_whole
from actionrec.deploy.preparation import Preparation
from actionrec.deploy.reading import read_clips
from actionrec.deploy.session import Model, softmax
from actionrec.errors import InputError, in_lines
from actionrec.experiments.predictions import Prediction as Measured
from actionrec.experiments.predictions import read_predictions
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.segments import FrameSource, read_frame_sources
from actionrec.frames.videos import read_files_table, video_names
from actionrec.utils.files import write_text
from actionrec.utils.processes import usable_cores
from actionrec.utils.rule_script import Job, by_class, optional

_LEFT_OUT = 20  # videos of a class that was not trained on
_LATENCY_RUNS = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tables:
    """Where the videos of classes are: their tables by class, and the folder of those, if any.

    Without a folder the tables are of segments, with `crops` by class where they are cropped.
    """

    videos: Mapping[str, Path]
    folder: Path | None
    crops: Mapping[str, Path]

    @classmethod
    def of_rule(cls, snakemake: Job) -> "Tables":
        """Return the tables that a rule names."""
        given, params = snakemake.input, snakemake.params
        return cls(
            by_class(params.classes, given.videos),
            optional(params.folder),
            by_class(params.classes, given.crops),
        )

    def sources(self, cls: str) -> dict[str, FrameSource]:
        """Return what each video of a class, by name, was decoded from."""
        table = self.videos[cls]
        if self.folder is None:
            return read_frame_sources(table, self.crops.get(cls))
        names = video_names(read_files_table(table))
        folder = self.folder / cls
        return {name: FrameSource(folder / file, file) for file, name in names.items()}


def verify(
    export: Path,
    predictions: Path,
    split: Path,
    tables: Tables,
    target: Path,
    *,
    margin: float,
    left_out: Sequence[str] = (),
    workers: int = 0,
) -> None:
    """Write verification.json; raise `InputError` when the model does not do what was measured.

    That is when it labels a test video otherwise than predictions.csv, and its score for its own
    label is more than `margin` above that for the other (half precision: at least FP16_LIMIT).
    `left_out` are classes that it was not trained on.
    """
    content: dict[str, Any] = {}
    model = Model(export)
    content["fp32"] = _compare(model, predictions, split, tables, margin, workers)
    content["left_out"] = _left_out(model, tables, left_out, workers)
    if model.card.fp16:
        half, limit = Model(export, precision="fp16"), max(margin, FP16_LIMIT)
        content["fp16"] = _compare(half, predictions, split, tables, limit, workers)
    write_text(target, json.dumps(content, indent=2) + "\n")


def _compare(
    model: Model, predictions: Path, split: Path, tables: Tables, margin: float, workers: int
) -> dict[str, Any]:
    """Return how the export does on the test videos; raise `InputError` where it differs."""
    rows = [row for row in read_split(split) if row.part == "test"]
    measured = {(p.label, p.video): p for p in read_predictions(predictions)}
    of_class = {cls: tables.sources(cls) for cls in {row.cls for row in rows}}
    sources = [of_class[row.cls][row.video] for row in rows]
    started = time.perf_counter()
    results = list(in_order(partial(_predict, model), sources, workers or usable_cores()))
    seconds = time.perf_counter() - started
    pairs = [
        (measured[row.cls, row.video], prediction)
        for row, (prediction, _) in zip(rows, results, strict=True)
    ]
    differing = _differing(model, pairs, margin)
    gaps = [
        abs(_score_of(model, found, known.prediction) - known.score)
        for known, found in pairs
        if known.score is not None
    ]
    labels = np.array([model.card.labels.index(row.cls) for row in rows])
    before = np.array([prediction.scores for prediction, _ in results])
    after = np.array([calibrated for _, calibrated in results])
    return {
        "videos": len(rows),
        "agreement": round(100 * (1 - len(differing) / len(rows)), 3),
        "within_margin": differing,
        "largest_score_difference": round(max(gaps), 7) if gaps else None,
        "accuracy": round(100 * float((before.argmax(axis=1) == labels).mean()), 3),
        "videos_per_second": round(len(rows) / seconds, 2),
        "latency_ms": round(_latency(model, sources[0]), 2),
        "provider": model.provider,
        "calibration_error": _calibration_errors(model, before, after, labels),
        "unknown": int((after.max(axis=1) < model.threshold).sum()),
    }


def _differing(
    model: Model, pairs: Sequence[tuple[Measured, Prediction]], margin: float
) -> list[str]:
    """Return the videos with another label within `margin`; raise `InputError` for any beyond."""
    differing: list[str] = []
    faults: list[str] = []
    for known, found in pairs:
        name = f"{known.label}/{known.video}"
        if found.problem:
            faults.append(f"{name}: {found.problem}")
        elif found.label != known.prediction:
            ahead = found.score - _score_of(model, found, known.prediction)
            text = f"{name}: {found.label}, not {known.prediction} ({ahead:.4f} ahead)"
            (faults if ahead > margin else differing).append(text)
    if faults:
        raise InputError(
            f"The exported model does not do what was measured: {len(faults)} of {len(pairs)} test "
            "videos differ.",
            where=model.folder,
            found=in_lines(faults),
            allowed=f"other labels up to {margin} ahead (export.margin)",
            fix="export again; if it stays, the videos or the decoder have changed since frames "
            "were extracted",
        )
    return differing


def _score_of(model: Model, prediction: Prediction, label: str) -> float:
    return float(prediction.scores[model.card.labels.index(label)])


def _calibration_errors(
    model: Model, before: np.ndarray, after: np.ndarray, labels: np.ndarray
) -> dict[str, float] | None:
    """Return the calibration error of the scores (videos, classes) before and after calibration."""
    if not model.card.calibration:
        return None
    return {
        "before": round(calibration_error(before, labels), 4),
        "after": round(calibration_error(after, labels), 4),
    }


def _predict(model: Model, source: FrameSource) -> tuple[Prediction, np.ndarray]:
    """Return the prediction as predictions.csv has it, and its calibrated scores."""
    try:
        read = read_clips(source, Preparation(model.card))
    except (BadVideo, OSError) as error:
        return Prediction(str(source.path), problem=str(error)), np.zeros(len(model.card.labels))
    logits = model.logits(read.clips)
    scores = softmax(logits).mean(axis=0)
    label = model.card.labels[int(scores.argmax())]
    calibrated = softmax(logits / model.temperature).mean(axis=0)
    return Prediction(str(source.path), label, float(scores.max()), scores), calibrated


def _latency(model: Model, source: FrameSource) -> float:
    """Return the median milliseconds from a clip to its scores, one clip at a time."""
    clips = read_clips(source, Preparation(model.card)).clips[:1]
    times = []
    for _ in range(_LATENCY_RUNS):
        started = time.perf_counter()
        model.scores(clips)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def _left_out(
    model: Model, tables: Tables, classes: Sequence[str], workers: int
) -> dict[str, Any] | None:
    """Return how many videos of classes that the model does not know it calls unknown."""
    if not classes or not model.card.calibration:
        return None
    sources = [
        source for cls in classes for source in list(tables.sources(cls).values())[:_LEFT_OUT]
    ]
    preparation = Preparation(model.card)

    def label(source: FrameSource) -> str | None:
        try:
            return predict_whole(model, source, preparation).label
        except (BadVideo, OSError):
            return None

    labels = [found for found in in_order(label, sources, workers or usable_cores()) if found]
    unknown = labels.count(UNKNOWN)
    log.info("%d of %d videos of other classes are unknown", unknown, len(labels))
    return {"classes": list(classes), "videos": len(labels), "unknown": unknown}
