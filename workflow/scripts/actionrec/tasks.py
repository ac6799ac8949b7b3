"""Run one TAO task for a rule: execute it, judge it, and publish what the rule promised."""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionrec import results, runners, scratch, splits
from actionrec.errors import InputError
from actionrec.files import same_file_system_link, sha256, write_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """What executes a task: the runner, the version that results depend on, threads and a log.

    `scratch` is a folder on the node's own disk to train from, or "".
    """

    runner: str
    version: str
    threads: int
    log: Path
    scratch: str = ""


def engine(snakemake: Any) -> Engine:
    """Return the engine that a rule asks for in its params."""
    params = snakemake.params
    return Engine(
        params.runner,
        params.engine,
        snakemake.threads,
        Path(snakemake.log[0]),
        scratch=snakemake.resources.get("scratch", ""),
    )


def _run(task: str, spec: Path, engine: Engine) -> tuple[Path, str]:
    """Execute a task in the experiment's folder; return its results folder and what it printed."""
    folder = spec.parent.parent / task
    if task != "train":
        (folder / "status.json").unlink(missing_ok=True)
        (folder / "predictions.csv").unlink(missing_ok=True)
    code, output = runners.execute(
        engine.runner, task, spec, threads=engine.threads, log_file=engine.log
    )
    results.require_finished(task, folder, code, output)
    return folder, output


def train(
    spec: Path,
    split: Path,
    pretrained: Path | None,
    *,
    model: Path,
    choice: Path,
    history: Path,
    select: str,
    engine: Engine,
) -> None:
    """Train, or go on where an equal training was killed; publish the chosen checkpoint.

    The folder train/ remembers what it was made from: spec, split, weights and engine. Only an
    equal training goes on from its checkpoints, and one that is already whole is not repeated.
    """
    run = spec.parent.parent
    splits.verify_split(split, run / "data")
    folder = run / "train"
    fingerprint = _fingerprint(engine.version, [spec, split, *filter(None, [pretrained])])
    _make_room(folder, fingerprint)
    if results.finished("train", folder):
        log.warning("%s is whole and nothing it depends on has changed: it is kept.", folder)
    else:
        with scratch.spec_on_scratch(
            engine.scratch, spec, split, workers=engine.threads
        ) as local_spec:
            _run("train", local_spec, engine)
    chosen, reason = results.choose(folder, select)
    rows = results.read_history(folder)
    results.write_csv(history, results.HISTORY, rows)
    results.write_choice(choice, chosen, reason, rows, engine.version)
    same_file_system_link(chosen.path, model)
    _keep_few(folder)
    shutil.rmtree(_previous(folder), ignore_errors=True)


def _fingerprint(version: str, files: Sequence[Path]) -> str:
    parts = [version, *(sha256(file) for file in files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _previous(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.previous")


def _make_room(folder: Path, fingerprint: str) -> None:
    """Leave in `folder` only what a training with this fingerprint may go on from.

    Another training's results are set aside until this one has succeeded.
    """
    previous = _previous(folder)
    for kept in (folder, previous):
        if _stamp(kept) == fingerprint:
            if kept == previous:
                shutil.rmtree(folder, ignore_errors=True)
                previous.rename(folder)
            _forget_failed_start(folder)
            return
    if results.finished("train", folder):
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    shutil.rmtree(folder, ignore_errors=True)
    write_text(folder / "fingerprint.txt", fingerprint + "\n")


def _stamp(folder: Path) -> str | None:
    file = folder / "fingerprint.txt"
    return file.read_text(encoding="utf-8").strip() if file.exists() else None


def _forget_failed_start(folder: Path) -> None:
    """Remove what TAO 6 and 7 leave when a training fails before its first step.

    It would be resumed from as if it were trained: model_epoch_000_step_00000.pth.
    """
    for bogus in folder.glob("model_epoch_*_step_00000.pth"):
        bogus.unlink()
    for link in folder.glob("*_latest.pth"):
        if not link.exists():
            link.unlink()


def _keep_few(folder: Path) -> None:
    """Remove all checkpoints but the best and the last: TAO keeps every one, 265 MB each."""
    kept = {results.choose(folder, select)[0].path for select in ("best", "last")}
    for checkpoint in results.checkpoints(folder):
        if checkpoint.path not in kept:
            checkpoint.path.unlink()


def predict(spec: Path, split: Path, predictions: Path, *, engine: Engine) -> None:
    """Predict the test videos; raise `InputError` unless there is one prediction for each."""
    run = spec.parent.parent
    splits.verify_split(split, run / "data")
    folder, output = _run("inference", spec, engine)
    found = results.read_predictions(folder, output)
    expected = splits.inference_names(split)
    if found.keys() != expected.keys():
        missing = sorted(expected.keys() - found.keys()) or sorted(found.keys() - expected.keys())
        raise InputError(
            f"Inference ended with {len(found)} predictions for {len(expected)} test videos.",
            where=engine.log,
            found=", ".join(missing[:10]),
            fix="read the log; run the same command again",
        )
    results.write_predictions(
        predictions,
        (
            results.Prediction(
                video, label, found[name][0], found[name][0] == label, found[name][1]
            )
            for name, (label, video) in expected.items()
        ),
    )


def evaluate(
    spec: Path,
    split: Path,
    predictions: Path,
    metrics: Path,
    *,
    labels: Sequence[str],
    engine: Engine,
) -> None:
    """Score the model: by video from the predictions, and in the figures of TAO's evaluate."""
    run = spec.parent.parent
    splits.verify_split(split, run / "data")
    folder, _ = _run("evaluate", spec, engine)
    scored = results.metrics(results.load_predictions(predictions), labels)
    reported = results.read_status(folder)[-1].get("kpi", {})
    scored["evaluate"] = {key: reported.get(key) for key in ("accuracy", "m_accuracy")}
    write_text(metrics, json.dumps(scored, indent=2) + "\n")


def export(spec: Path, labels: Sequence[str], labels_file: Path, *, engine: Engine) -> None:
    """Export the model to ONNX and write its labels, one a line, in the order of its outputs."""
    _run("export", spec, engine)
    write_text(labels_file, "".join(f"{label}\n" for label in labels))
