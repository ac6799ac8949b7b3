"""Resume a training only where nothing that it depends on has changed.

A training's folder holds fingerprint.txt, a hash of the engine, the spec, the split and the initial
weights. A training with another fingerprint sets the folder aside as <folder>.previous, and removes
it only once it has succeeded itself: until then the configuration can be changed back.
"""

import hashlib
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from actionrec.experiments.checkpoints import (
    choose,
    drop_damaged,
    find_checkpoints,
    remove_failed_start,
)
from actionrec.experiments.status_json import NAME as STATUS
from actionrec.experiments.task_outcome import TaskOutcome, read_outcome
from actionrec.native.checkpoints import integrity
from actionrec.native.status import EPOCHS
from actionrec.spec import relevance, toolkits
from actionrec.utils import checksums
from actionrec.utils.files import same_file_system_link, sha256, write_text
from actionrec.utils.small_files import read_text, read_yaml

_FINGERPRINT = "fingerprint.txt"


def fingerprint(version: str, toolkit: str, spec: Path, files: Sequence[Path]) -> str:
    """Return what tells a training from another: the engine's version and its files' content.

    Of the spec, the keys that change no result do not count.
    """
    digest = relevance.digest(spec, "train", toolkit)
    parts = [version, digest, *(sha256(file) for file in files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def prepare(folder: Path, fingerprint: str, toolkit: str) -> None:
    """Leave in `folder` only what a training with this fingerprint may resume from.

    The results of another training are set aside until this one has succeeded.
    """
    previous = _previous(folder)
    for kept in (folder, previous):
        if _fingerprint_of(kept) == fingerprint:
            if kept == previous:  # the configuration was changed back before the new one succeeded
                shutil.rmtree(folder, ignore_errors=True)
                previous.rename(folder)
            remove_failed_start(folder)
            drop_damaged(folder)
            return
    # Only a complete training is worth its space while another one runs.
    if read_outcome("train", folder, toolkit).finished:
        shutil.rmtree(previous, ignore_errors=True)
        folder.rename(previous)
    shutil.rmtree(folder, ignore_errors=True)
    write_text(folder / _FINGERPRINT, fingerprint + "\n")


def _previous(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.previous")


def _fingerprint_of(folder: Path) -> str | None:
    file = folder / _FINGERPRINT
    return read_text(file).strip() if file.exists() else None


def start_from_trial(folder: Path, trial: Path, fingerprint: str) -> None:
    """Let a training that has not begun resume from its trial, if there is one as fingerprinted.

    `trial` is the folder of the trial. The latest checkpoint is linked last: with it the training
    has begun.
    """
    latest = next(trial.glob("*_latest.pth"), None)
    if latest is None or _fingerprint_of(trial) != fingerprint or (folder / latest.name).exists():
        return
    # Links, not moves: the trial's folder stays as it is, for its own fingerprint and the ranking.
    for checkpoint in find_checkpoints(trial):
        copy = folder / checkpoint.path.name
        same_file_system_link(checkpoint.path, copy)
        if digest := checksums.recorded(checkpoint.path):
            checksums.record(copy, digest)
    *lines, _ = read_text(trial / STATUS).splitlines(keepends=True)
    write_text(folder / STATUS, "".join(lines))  # all but the last, which reports success
    if (trial / EPOCHS).exists():
        shutil.copyfile(trial / EPOCHS, folder / EPOCHS)
    same_file_system_link(latest.resolve(), folder / latest.name)


def spec_to_train(spec: Path, folder: Path, toolkit: str) -> Path:
    """Return the spec to train with: TAO 5.0 to 5.3 need the checkpoint to resume from in theirs.

    Newer toolkits find it themselves. Older ones, of which that is not known, start from the
    beginning. A checkpoint that a kill cut short or a disk has damaged is removed.
    """
    if toolkits.resumes(toolkit):
        return spec
    found = [checkpoint.path for checkpoint in find_checkpoints(folder)]
    whole = [] if toolkits.is_old(toolkit) else [p for p in found if not _is_damaged(p)]
    for leftover in set(found) - set(whole):
        integrity.remove(leftover)
    if not whole:
        (folder / STATUS).unlink(missing_ok=True)
        return spec
    values = read_yaml(spec)
    values["train"]["resume_training_checkpoint_path"] = str(whole[-1])
    resuming = folder / "resume.yaml"
    write_text(resuming, yaml.safe_dump(values, sort_keys=False))
    return resuming


def _is_damaged(path: Path) -> bool:
    # PyTorch writes ZIP files, whose directory is at the end: a file that was cut short has none.
    return not zipfile.is_zipfile(path) or integrity.damage(path) is not None


def clean_up(outcome: TaskOutcome) -> None:
    """Remove what a training that succeeded no longer needs.

    TAO keeps every checkpoint, 265 MB each: only the best and the last stay. The results of the
    training before it go.
    """
    choices = [choose(outcome.checkpoints, outcome.history, how) for how in ("best", "last")]
    kept = {choice.checkpoint.path for choice in choices}
    for checkpoint in outcome.checkpoints:
        if checkpoint.path not in kept:
            integrity.remove(checkpoint.path)
    for damaged in outcome.folder.glob("*.damaged"):
        damaged.unlink()
    shutil.rmtree(_previous(outcome.folder), ignore_errors=True)
