"""When checkpoints are saved, and under which names: TAO's rules (7.3)."""

import re
from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from actionrec.errors import InputError
from actionrec.native.checkpoints import integrity, lightning
from actionrec.native.distributed import collectives, launch
from actionrec.native.training.state import TrainState


def save_after_step(state: TrainState) -> None:
    """Save the periodic checkpoint, if it is due after this step. Call it in every rank."""
    train = state.spec.train
    due = state.global_step % train.checkpoint_interval == 0
    if due and train.checkpoint_interval_unit == "step" and not _only_best(state.spec):
        _save(state, lightning.checkpoint_name(state.epoch, state.global_step))


def save_after_epoch(state: TrainState, metrics: Mapping[str, float]) -> None:
    """Save the best and the periodic checkpoint, if they are due. Call it in every rank.

    Early stopping makes the periodic one due, whatever its interval.
    """
    train = state.spec.train
    if train.checkpointer.enable_topk and monitored_metric(state.spec) in metrics:
        _save_if_among_best(state, metrics)
    due = (state.epoch + 1) % train.checkpoint_interval == 0
    due &= train.checkpoint_interval_unit == "epoch"
    due |= state.early_stopping.should_stop
    if due and not _only_best(state.spec):
        _save(state, lightning.checkpoint_name(state.epoch, state.global_step))


def monitored_metric(spec: DictConfig) -> str:
    """Return the name of the metric that ranks the best checkpoints."""
    return spec.train.checkpointer.monitor or "val_loss"


def _only_best(spec: DictConfig) -> bool:
    """Tell whether the best checkpoint replaces the periodic ones."""
    return spec.train.checkpointer.enable_topk and spec.train.checkpointer.replace_periodic


def _save_if_among_best(state: TrainState, metrics: Mapping[str, float]) -> None:
    """Keep the `save_top_k` best checkpoints by the monitored metric; a negative number: all."""
    settings = state.spec.train.checkpointer
    only_best = _only_best(state.spec)
    top_k = 1 if only_best else settings.save_top_k
    folder = Path(settings.dirpath or state.folder)
    entry = (metrics[monitored_metric(state.spec)], _best_name(state, metrics))
    # A stable sort: of equal metrics the earlier checkpoint ranks higher.
    ranked = sorted(
        [*state.best_checkpoints, entry],
        reverse=settings.mode == "max",
        key=lambda ranked_entry: ranked_entry[0],
    )
    keep, drop = (ranked, []) if top_k < 0 else (ranked[:top_k], ranked[top_k:])
    if entry in drop:
        return
    state.best_checkpoints = keep  # before saving: the checkpoint holds the list
    _save(state, entry[1], folder, link_latest=only_best)
    for _, name in drop:
        # A name without the epoch is the new checkpoint's, too, which has replaced the file.
        if name != entry[1] and launch.rank() == 0:
            integrity.remove(folder / name)


def _best_name(state: TrainState, metrics: Mapping[str, float]) -> str:
    """Return train.checkpointer.filename, filled in as by Lightning, with .pth."""
    settings = state.spec.train.checkpointer
    pattern = settings.filename
    if settings.auto_insert_metric_name:
        pattern = re.sub(r"\{(\w+)", r"\1_{\1", pattern)
    try:
        name = pattern.format(epoch=state.epoch, step=state.global_step, **metrics) + ".pth"
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise InputError(
            "The name of the best checkpoints cannot be filled in.",
            where="spec: train.checkpointer.filename",
            found=settings.filename,
            allowed=[f"{{{field}}}" for field in ("epoch", "step", *metrics)],
        ) from error
    if Path(name).name != name:
        raise InputError(
            "The name of the best checkpoints must not hold a folder.",
            where="spec: train.checkpointer.filename",
            found=settings.filename,
            fix="set train.checkpointer.dirpath",
        )
    return name


def _save(
    state: TrainState, name: str, folder: Path | None = None, *, link_latest: bool = True
) -> None:
    """Save a checkpoint by rank 0; the other ranks only contribute their totals."""
    totals = collectives.all_reduce(state.totals)
    if launch.rank():
        return
    path = (folder or state.folder) / name
    lightning.save(path, state.state_dict(totals), encrypt=bool(state.spec.encryption_key))
    if link_latest:
        lightning.link_latest(path)
