"""Find the checkpoints of a training, and choose the one that becomes the model."""

import json
import logging
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from actionrec.errors import InputError
from actionrec.experiments.status_json import Epoch
from actionrec.native.checkpoints import integrity
from actionrec.utils import checksums
from actionrec.utils.files import same_file_system_link, write_text
from actionrec.utils.small_files import read_json

log = logging.getLogger(__name__)

# model_epoch_004_step_00123.pth (6.0 to 7.3), model_epoch_004.pth (5.5), model_best_004.pth (7.3),
# ar_model_epoch=004.tlt (5.0 to 5.3), ar_model_epoch=19-val_loss=0.05.tlt (3.21.11).
_NAME = re.compile(
    r"(?:ar_)?model_(?:epoch|best)[_=](?P<epoch>\d+)(?:_step_(?P<step>\d+))?"
    r"(?:-val_loss=(?P<val_loss>\d+\.\d+))?(?:-v\d+)?\.(?:pth|tlt)"
)
_NO_STEP = "00000"


@dataclass(frozen=True)
class Checkpoint:
    """One of the checkpoints that a training wrote; `epoch` counts from 0.

    `val_loss` is the validation loss where the file's name tells it.
    """

    path: Path
    epoch: int
    val_loss: float | None = None


@dataclass(frozen=True)
class Choice:
    """The checkpoint that becomes the model, and why."""

    checkpoint: Checkpoint
    reason: str


def find_checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the checkpoints of a training by epoch.

    Those of step 0 are left out: TAO writes one when the training fails before its first step.
    """
    found = []
    for path in folder.glob("*model_*"):
        match = _NAME.fullmatch(path.name)
        # The link ar_model_latest.pth is no checkpoint of its own.
        if match and not path.is_symlink() and match["step"] != _NO_STEP:
            val_loss = float(match["val_loss"]) if match["val_loss"] else None
            found.append(Checkpoint(path, int(match["epoch"]), val_loss))
    return sorted(found, key=lambda checkpoint: (checkpoint.epoch, checkpoint.path.name))


def drop_damaged(folder: Path) -> None:
    """Let the link to the latest checkpoint lead to the newest intact one, and say what is lost.

    A kill or a disk may have damaged the latest, and TAO would fail with it at every start. Damaged
    files are kept as <name>.damaged until the training has succeeded.
    """
    for link in folder.glob("*_latest.pth"):
        latest = link.resolve()
        lost = {latest: integrity.damage(latest) if latest.is_file() else "it is missing"}
        if lost[latest] is None:
            continue
        newest = None
        for checkpoint in reversed(find_checkpoints(folder)):
            lost[checkpoint.path] = integrity.damage(checkpoint.path)
            if lost[checkpoint.path] is None:
                newest = checkpoint.path
                break
        faults = {path: fault for path, fault in lost.items() if fault}
        rest = f"resumes from {newest.name}" if newest else "starts from the beginning"
        named = ", ".join(f"{path.name} ({fault})" for path, fault in faults.items())
        log.warning("Lost in %s: %s. The training %s.", folder, named, rest)
        for path in filter(Path.exists, faults):
            path.replace(path.with_name(f"{path.name}.damaged"))
            checksums.forget(path)
        link.unlink(missing_ok=True)
        if newest:
            same_file_system_link(newest, link)


def require_sound(checkpoint: Checkpoint) -> None:
    """Raise `InputError` if the checkpoint that becomes the model is damaged, or holds NaN.

    The native engine keeps a digest next to what it has checked before; what TAO has written is
    read, unless it is encrypted.
    """
    path = checkpoint.path
    fault = integrity.damage(path)
    # PyTorch's present format is a ZIP file; older toolkits have others, which only they can read.
    if fault is None and checksums.recorded(path) is None and zipfile.is_zipfile(path):
        fault = _fault_in_content(path)
    if fault is not None:
        raise InputError(
            "The checkpoint that would become the model cannot be used.",
            where=path,
            found=fault,
            fix=f"remove {path.parent} and run again, which trains again: if it has diverged, with "
            "a lower train.optim.lr; or choose another one by tao.checkpoint",
        )


def _fault_in_content(path: Path) -> str | None:
    from actionrec.native.checkpoints import content_checks, encrypted, lightning  # loads PyTorch

    if encrypted.is_encrypted_file(path):
        return None
    try:
        lightning.read(path, str(path))
    except content_checks.DivergedWeights as error:
        return str(error).splitlines()[0]
    except InputError:  # a format of TAO's own; the tasks that read the model say what is wrong
        return None
    return None


def remove_failed_start(folder: Path) -> None:
    """Remove what TAO 6 and 7 leave when a training fails before its first step.

    The next training would resume from it: model_epoch_000_step_00000.pth and the link to it.
    """
    for checkpoint in folder.glob(f"model_epoch_*_step_{_NO_STEP}.pth"):
        integrity.remove(checkpoint)
    for link in folder.glob("*_latest.pth"):
        if not link.exists():
            link.unlink()


def choose(checkpoints: Sequence[Checkpoint], history: Sequence[Epoch], select: str) -> Choice:
    """Return the checkpoint that becomes the model; there must be one.

    `select` is `best` (highest validation accuracy where that is known, then lowest validation
    loss, then the earliest) or `last`. Without validation the last is taken.
    """
    # TAO may validate less often than it saves: only what was validated can be compared.
    validated = {epoch.epoch: epoch for epoch in history if epoch.validated}
    candidates = [checkpoint for checkpoint in checkpoints if checkpoint.epoch in validated]
    if select == "last":
        return Choice(checkpoints[-1], "the last epoch")
    if not candidates:
        return Choice(checkpoints[-1], "the last epoch: nothing was validated")
    best = max(candidates, key=lambda checkpoint: _merit(validated[checkpoint.epoch]))
    reason = "lowest validation loss, then earliest"
    if validated[best.epoch].val_acc is not None:
        reason = f"highest validation accuracy, then {reason}"
    return Choice(best, reason)


def _merit(epoch: Epoch) -> tuple[float, float, int]:
    """Return what is compared: the larger, the better; a figure that is unknown is the worst."""
    accuracy = -inf if epoch.val_acc is None else epoch.val_acc
    loss = inf if epoch.val_loss is None else epoch.val_loss
    return accuracy, -loss, -epoch.epoch


def write_choice(target: Path, choice: Choice, history: Sequence[Epoch], engine: str) -> None:
    """Write model.json: which checkpoint the model is, why, by which `engine`, from which weights.

    The native engine says from which weights, and what was changed of them.
    """
    path, number = choice.checkpoint.path, choice.checkpoint.epoch
    epoch = next((epoch for epoch in history if epoch.epoch == number), Epoch(number))
    content = {
        "checkpoint": f"{path.parent.name}/{path.name}",
        "epoch": number,
        "epochs": len(history),
        "reason": choice.reason,
        "val_acc": epoch.val_acc,
        "val_loss": epoch.val_loss,
        "engine": engine,
    }
    pretrained = path.parent / "pretrained.json"
    if pretrained.exists():
        content["pretrained"] = read_json(pretrained)
    write_text(target, json.dumps(content, indent=2) + "\n")
