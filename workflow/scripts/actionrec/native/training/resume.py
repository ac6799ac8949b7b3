"""The resumption of a training from a checkpoint."""

from actionrec.native.checkpoints import lightning
from actionrec.native.training.fixed_settings import check_unchanged
from actionrec.native.training.state import TrainState

KEY = "train.resume_training_checkpoint_path"


def resume(state: TrainState) -> None:
    """Restore the checkpoint that the spec names, else the folder's latest one, if there is one.

    Raises `InputError` if the training cannot resume from it, or, for the folder's own, if the
    spec has changed since.
    """
    given = state.spec.train.resume_training_checkpoint_path
    latest = state.folder / lightning.LATEST
    path = given or (str(latest) if latest.exists() else None)
    if path is None:
        return
    checkpoint = lightning.read(path, KEY)
    lightning.check_resumable(state.network, checkpoint, path, KEY)
    if not given:
        check_unchanged(checkpoint.get("actionrec", {}).get("spec"), state.spec, state.folder)
    state.status.write(f"Resuming training from checkpoint: {path}")
    state.load_state_dict(checkpoint, path)
