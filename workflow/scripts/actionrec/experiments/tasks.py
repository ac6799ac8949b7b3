"""Run one TAO task for a rule: execute it, judge it, and publish what the rule promised."""

import hashlib
import json
import logging
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from actionrec import runners
from actionrec.dataset import link_tree
from actionrec.errors import InputError
from actionrec.experiments import checkpoints, scratch, transcript
from actionrec.experiments import task_outcome as status
from actionrec.experiments.metrics import compute_metrics, evaluate_figures
from actionrec.experiments.predictions import (
    Prediction,
    load_predictions,
    read_predictions,
    write_predictions,
)
from actionrec.runners import Container, Request, mounts
from actionrec.spec import toolkits
from actionrec.utils import tables
from actionrec.utils.files import same_file_system_link, sha256, write_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """What executes a task: the runner, the version that results depend on, and the means.

    `toolkit` is the TAO version whose command line and results are to be expected; `scratch` a
    folder on the node's own disk to train from, or "".
    """

    runner: str
    version: str
    threads: int
    log: Path
    toolkit: str = toolkits.TOOLKITS[-1]
    gpus: int = 1
    container: Container = field(default_factory=Container)
    scratch: str = ""


def engine(snakemake: Any) -> Engine:
    """Return the engine that a rule asks for in its params.

    The container's settings are not among these: the image is part of the version, and nothing
    else of them changes results, so a larger /dev/shm must not train anew.
    """
    return Engine(
        snakemake.params.runner,
        snakemake.params.engine,
        snakemake.threads,
        Path(snakemake.log[0]),
        snakemake.params.toolkit,
        snakemake.resources.get("gpu", 1),
        runners.container(snakemake.config["tao"]),
        snakemake.resources.get("scratch", ""),
    )


def _run(task: str, spec: Path, engine: Engine, *extra: Path, name: str = "") -> tuple[Path, str]:
    """Execute a task in the experiment's folder; return its results folder and what it printed.

    `extra` are files that the spec names outside that folder; `name` the results folder, if it is
    not the task's.
    """
    run = spec.parent.parent.absolute()
    folder = run / (name or task)
    folder.mkdir(parents=True, exist_ok=True)
    if task != "train":
        (folder / "status.json").unlink(missing_ok=True)
        (folder / "predictions.csv").unlink(missing_ok=True)
    request = Request(
        program=toolkits.program(engine.toolkit),
        arguments=toolkits.arguments(engine.toolkit, task, spec, folder),
        room=run / "runner" / folder.name,
        log=engine.log,
        paths=[run, *extra, *sorted(mounts.of_links(run / "data"))],
        threads=engine.threads,
        gpus=engine.gpus,
        container=engine.container,
    )
    code, output = runners.execute(engine.runner, request)
    if toolkits.is_old(engine.toolkit) and code == 0:
        transcript.write_status(task, folder, output)
    status.require_finished(task, folder, code, output)
    return folder, output


def train(
    spec: Path,
    split: Path,
    pretrained: Sequence[Path],
    *,
    model: Path,
    choice: Path,
    history: Path,
    select: str,
    engine: Engine,
    trial: Path | None = None,
) -> None:
    """Train, or go on where an equal training was killed; publish the chosen checkpoint.

    The folder named as the spec, train/, remembers what it was made from: spec, split, weights and
    engine. Only an equal training goes on from its checkpoints, and one that is already whole is
    not repeated. `trial` is the spec of a training that was this one's beginning.
    """
    run = spec.parent.parent
    link_tree.verify_split(split, run / "data")
    folder = run / spec.stem
    _make_room(folder, _fingerprint(engine.version, [spec, split, *pretrained]))
    if trial:
        _take_up(
            run / trial.stem, _fingerprint(engine.version, [trial, split, *pretrained]), folder
        )
    if status.finished("train", folder):
        log.warning("%s is whole and nothing it depends on has changed: it is kept.", folder)
    else:
        begin = _resuming(spec, folder, engine.toolkit)
        with scratch.spec_on_scratch(engine.scratch, begin, split, workers=engine.threads) as (
            local,
            copies,
        ):
            _run("train", local, engine, *pretrained, *copies, name=folder.name)
    checkpoints.require_last(folder, toolkits.last_epoch(_read(spec)))
    chosen, reason = checkpoints.choose(folder, select)
    rows = status.read_history(folder)
    tables.write_csv(history, status.HISTORY, rows)
    checkpoints.write_choice(choice, chosen, reason, rows, engine.version)
    same_file_system_link(chosen.path, model)
    _keep_few(folder)
    shutil.rmtree(_previous(folder), ignore_errors=True)


def _read(spec: Path) -> dict[str, Any]:
    return yaml.safe_load(spec.read_text(encoding="utf-8"))


def _resuming(spec: Path, folder: Path, toolkit: str) -> Path:
    """Return the spec to train with: TAO 5.0 to 5.3 must be told where to go on from.

    Newer toolkits find it themselves. Older ones, of which that is not known, start afresh. A
    checkpoint that the kill cut short is removed.
    """
    if toolkits.resumes(toolkit):
        return spec
    found = [checkpoint.path for checkpoint in checkpoints.checkpoints(folder)]
    whole = [path for path in found if zipfile.is_zipfile(path)]
    if toolkits.is_old(toolkit):
        whole = []
    for leftover in set(found) - set(whole):
        leftover.unlink()
    if not whole:
        (folder / "status.json").unlink(missing_ok=True)
        return spec
    values = _read(spec)
    values["train"]["resume_training_checkpoint_path"] = str(whole[-1])
    again = folder / "resume.yaml"
    write_text(again, yaml.safe_dump(values, sort_keys=False))
    return again


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
    if status.finished("train", folder):
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    shutil.rmtree(folder, ignore_errors=True)
    write_text(folder / "fingerprint.txt", fingerprint + "\n")


def _stamp(folder: Path) -> str | None:
    file = folder / "fingerprint.txt"
    return file.read_text(encoding="utf-8").strip() if file.exists() else None


def _take_up(trial: Path, fingerprint: str, folder: Path) -> None:
    """Let a training that has not begun go on from the trial with this fingerprint, if it is there.

    The latest checkpoint comes last: with it the training has begun.
    """
    latest = next(trial.glob("*_latest.pth"), None)
    if latest is None or _stamp(trial) != fingerprint or (folder / latest.name).exists():
        return
    for checkpoint in checkpoints.checkpoints(trial):
        same_file_system_link(checkpoint.path, folder / checkpoint.path.name)
    *lines, _ = (trial / "status.json").read_text(encoding="utf-8").splitlines(keepends=True)
    write_text(folder / "status.json", "".join(lines))  # all but that it finished
    same_file_system_link(latest.resolve(), folder / latest.name)


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
    kept = {checkpoints.choose(folder, select)[0].path for select in ("best", "last")}
    for checkpoint in checkpoints.checkpoints(folder):
        if checkpoint.path not in kept:
            checkpoint.path.unlink()


def predict(spec: Path, split: Path, predictions: Path, *, engine: Engine) -> None:
    """Predict the test videos; raise `InputError` unless there is one prediction for each."""
    run = spec.parent.parent
    link_tree.verify_split(split, run / "data")
    folder, output = _run("inference", spec, engine)
    found = read_predictions(folder, output)
    expected = link_tree.inference_names(split)
    if found.keys() != expected.keys():
        missing = sorted(expected.keys() - found.keys()) or sorted(found.keys() - expected.keys())
        raise InputError(
            f"Inference ended with {len(found)} predictions for {len(expected)} test videos.",
            where=engine.log,
            found=", ".join(missing[:10]),
            fix="read the log; run the same command again",
        )
    write_predictions(
        predictions,
        (
            Prediction(video, label, found[name][0], found[name][0] == label, found[name][1])
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
    link_tree.verify_split(split, run / "data")
    folder, _ = _run("evaluate", spec, engine)
    scored = compute_metrics(load_predictions(predictions), labels)
    reported = status.read_status(folder)[-1].get("kpi") or {}
    scored["evaluate"] = evaluate_figures(reported, _read(spec))
    write_text(metrics, json.dumps(scored, indent=2) + "\n")


def export(
    spec: Path, labels: Sequence[str], exported: Path, labels_file: Path, *, engine: Engine
) -> None:
    """Export the model to `exported`, and write its labels in the order of its outputs, one a line.

    TAO refuses to replace a file, so an older one is removed first.
    """
    exported.unlink(missing_ok=True)
    _run("export", spec, engine)
    if not exported.is_file() or exported.stat().st_size == 0:
        raise InputError(
            "The export says that it finished, and left no model.",
            where=exported,
            fix="the rule's log holds all it printed; check that tao.toolkit is what runs",
        )
    write_text(labels_file, "".join(f"{label}\n" for label in labels))
