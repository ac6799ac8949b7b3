"""The resumption of a training from a checkpoint."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from actionrec.native.checkpoints import content_checks, lightning
from actionrec.native.checkpoints.content_checks import UnusableCheckpoint
from actionrec.native.training.fixed_settings import check_unchanged
from actionrec.native.training.state import TrainState

KEY = "train.resume_training_checkpoint_path"

log = logging.getLogger(__name__)


def resume(state: TrainState) -> None:
    """Restore the checkpoint that the spec names, else the folder's latest one, if there is one.

    Where the latest one is damaged, the newest intact one of the folder is restored, and what is
    lost is logged. Raises `InputError` if the training cannot resume from a checkpoint, or, for the
    folder's own, if the spec has changed since.
    """
    given = state.spec.train.resume_training_checkpoint_path
    if given:
        _restore(state, given, lightning.read(given, KEY))
        return
    found = _newest_intact(state.folder)
    if found is None:
        return
    path, checkpoint = found
    check_unchanged(checkpoint.get("actionrec", {}).get("spec"), state.spec, state.folder)
    _restore(state, str(path), checkpoint)


def _restore(state: TrainState, path: str, checkpoint: Mapping[str, Any]) -> None:
    lightning.check_resumable(state.network, checkpoint, path, KEY)
    content_checks.check_progress(checkpoint, state.spec.train.num_epochs, path)
    content_checks.check_optimizer_state(state.optimizer, checkpoint["optimizer_states"], path)
    state.status.write(f"Resuming training from checkpoint: {path}")
    try:
        state.load_state_dict(checkpoint, path)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise content_checks.explained(path, error) from error


def _newest_intact(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the folder's latest checkpoint with its content, or the newest one that is intact.

    None stands for a training that has none, or of which every checkpoint is damaged.
    """
    latest = folder / lightning.LATEST
    damaged = [str(latest.readlink())] if latest.is_symlink() and not latest.exists() else []
    for path in _newest_first(folder):
        try:
            checkpoint = lightning.read(path, KEY)
        except UnusableCheckpoint as error:
            damaged.append(path.resolve().name)
            log.warning("%s", error)
            continue
        if damaged:
            log.warning(
                "Lost: %s. The training resumes from %s, after epoch %s, and repeats the rest.",
                ", ".join(damaged),
                path.resolve().name,
                checkpoint.get("epoch", -1) + 1,
            )
        return path, checkpoint
    if damaged:
        log.warning("Lost: %s. The training starts from the beginning.", ", ".join(damaged))
    return None


def _newest_first(folder: Path) -> Iterator[Path]:
    """Yield the latest checkpoint, if there is one, and the folder's others behind it."""
    latest = folder / lightning.LATEST
    if not latest.is_symlink() and not latest.exists():
        return
    newest = latest.resolve()
    if newest.exists():
        yield latest
    others = [path for path in folder.glob("*.pth") if path not in (latest, newest)]
    yield from sorted((path for path in others if path.resolve() != newest), key=_age)


def _age(path: Path) -> tuple[int, int]:
    """Return what orders checkpoints, the newest first: the epoch in their names, then time."""
    epoch = re.search(r"\d+", path.name)
    return -int(epoch[0]) if epoch else 1, -path.stat().st_mtime_ns
