"""Checkpoint files in the format of PyTorch Lightning, which is TAO's (5.0 to 7.3).

A checkpoint made here loads in NVIDIA's code with `load_from_checkpoint` (strict), and one made
there loads here. Only tensors and plain values are unpickled (`weights_only`).
"""

import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.checkpoints import content_checks, encrypted, integrity
from actionrec.native.checkpoints.content_checks import CLASSIFIERS, UnusableCheckpoint
from actionrec.native.checkpoints.families import family_of
from actionrec.utils.files import replacing, same_file_system_link
from actionrec.utils.text import count

LATEST = "ar_model_latest.pth"
PREFIX = "model."  # of the network's tensors in Lightning's state_dict
DATA_PARALLEL = "module."  # what PyTorch's DataParallel puts in front of names
LIGHTNING_VERSION = "2.5.0"  # whose layout `loops_state` has


def checkpoint_name(epoch: int, global_step: int) -> str:
    """Return TAO's file name for a checkpoint saved in `epoch`, from 0, after `global_step`."""
    return f"model_epoch_{epoch:03d}_step_{global_step:05d}.pth"


def save(path: Path, checkpoint: Mapping[str, Any], *, encrypt: bool = False) -> None:
    """Write a checkpoint, whole or not at all; `encrypt` it with the key in TAO_KEY.

    Its digest is kept next to it. Raises `InputError` if the disk is full, or if the weights are
    not finite: nobody could use them.
    """
    content_checks.check_state_dict(checkpoint["state_dict"], path, "the training")
    content = dict(encrypted.encrypt(checkpoint) if encrypt else checkpoint)
    integrity.write(path, lambda file: torch.save(content, file))


def link_latest(path: Path) -> None:
    """Make ar_model_latest.pth in the folder of `path` a link to it, or a copy if links fail."""
    try:
        with replacing(path.with_name(LATEST)) as part:
            part.symlink_to(path.name)
    except OSError:
        same_file_system_link(path, path.with_name(LATEST))


def remove_partial_files(folder: Path) -> None:
    """Remove what a killed training was writing; call it only with the folder's lock held."""
    for pattern in (".model_*", f".{LATEST}.*"):
        for scratch in folder.glob(pattern):
            shutil.rmtree(scratch, ignore_errors=True)


def read(path: Path | str, where: str) -> dict[str, Any]:
    """Return a checkpoint's dict, decrypted, on the CPU; `where` is the spec's key for `path`.

    Raises `UnusableCheckpoint` if the file is damaged, or holds anything but tensors and plain
    values, or weights that are not finite; another `InputError` if it is missing, or encrypted with
    another key than that in TAO_KEY.
    """
    path, where = Path(path), f"spec: {where}"
    if not path.is_file():
        raise InputError(
            "The checkpoint does not exist.",
            where=where,
            found=path,
            fix="correct the path; it is relative to the folder that the command runs in",
        )
    try:
        fault = integrity.damage(path)
        if fault is None:
            # Mapped, a checkpoint is not read into memory as a whole; only zip files can be.
            checkpoint = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except Exception as error:  # PyTorch's unpickler fails on foreign bytes in any way
        fault = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnusableCheckpoint(path, where, fault) from error
    if fault is not None:
        raise UnusableCheckpoint(path, where, fault)
    if not isinstance(checkpoint, dict):
        raise UnusableCheckpoint(path, where, "no state_dict", "The file holds no state_dict.")
    if encrypted.is_encrypted(checkpoint):
        checkpoint = encrypted.decrypt(checkpoint, path, where.removeprefix("spec: "))
    content_checks.check_state_dict(checkpoint.get("state_dict", checkpoint), path, where)
    return checkpoint


def network_state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the network's tensors, by their names without Lightning's prefix `model.`.

    A dict without the key `state_dict` is taken for a state dict itself.
    """
    state = checkpoint.get("state_dict", checkpoint)
    return {
        name.removeprefix(DATA_PARALLEL).removeprefix(PREFIX): value
        for name, value in state.items()
    }


def num_classes_of(path: Path | str) -> int:
    """Return the number of classes of a checkpoint file's classifier.

    It is 0 for weights of a public family, whose classifier is not used. Raises `InputError` if
    there is no classifier.
    """
    state_dict = network_state_dict(read(path, str(path)))
    classes = count_classes(state_dict)
    if classes is None and family_of(state_dict) is None:
        raise InputError("The checkpoint has no classifier.", where=path, allowed=CLASSIFIERS)
    return classes or 0


def count_classes(state_dict: Mapping[str, Tensor]) -> int | None:
    """Return the number of classes of a state dict's classifier, or None if it has none."""
    return next((state_dict[name].shape[0] for name in CLASSIFIERS if name in state_dict), None)


def load_network(spec: DictConfig, path: str, where: str) -> nn.Module:
    """Return the spec's network with the weights of the checkpoint `path`, on the CPU.

    `where` is the spec's key for `path`. Raises `InputError`, with the numbers, if the checkpoint
    has other classes than the label map or is of another network.
    """
    labels = spec.dataset.label_map
    with _SkipInitialisation():
        network = networks.build(spec.model, len(labels))
    state_dict = network_state_dict(read(path, where))
    classes = count_classes(state_dict)
    if classes is not None and classes != len(labels):
        raise InputError(
            "The checkpoint's number of classes is not the label map's.",
            where=f"spec: {where}",
            found=f"{path} has {count(classes, 'class')}, dataset.label_map {len(labels)}",
            fix="give the label map that the checkpoint was trained with",
        )
    load_strict(network, state_dict, path, where)
    return network


class _SkipInitialisation(TorchFunctionMode):
    """Leave new weights uninitialised, because they are overwritten at once; this saves a second.

    PyTorch's own way is the meta device, which imports its compiler and so takes even longer.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        if function in (Tensor.normal_, nn.init.kaiming_uniform_):
            return arguments[0] if arguments else (named or {})["tensor"]
        return function(*arguments, **(named or {}))


def load_strict(network: nn.Module, state_dict: Mapping[str, Any], path: str, where: str) -> None:
    """Load a state dict; raise `InputError` unless names and shapes are the network's."""
    content_checks.check_tensors(network, state_dict, path, where)
    network.load_state_dict(state_dict)


def check_resumable(
    network: nn.Module, checkpoint: Mapping[str, Any], path: str, where: str
) -> None:
    """Raise `InputError` unless a training of `network` can resume from a checkpoint."""
    for key in ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers"):
        if key not in checkpoint:
            raise InputError(
                "The file is no checkpoint that a training can resume from.",
                where=f"spec: {where}",
                found=f"{path} has no {key}",
                fix="name a checkpoint of a training, or start from its weights: "
                "model.rgb_pretrained_model_path",
            )
    content_checks.check_tensors(network, network_state_dict(checkpoint), path, where)


def loops_state(epoch: int, global_step: int, batch_idx: int, num_batches: int) -> dict[str, Any]:
    """Return the state of Lightning's loops after `batch_idx` of an epoch's `num_batches`.

    A Lightning Trainer resumes from it. The keys and counters are those of Lightning 2.5.0.
    """

    def progress(total: int, current: int, *names: str) -> dict[str, dict[str, int]]:
        return {"total": dict.fromkeys(names, total), "current": dict.fromkeys(names, current)}

    # `total` counts over the training, `current` within the epoch.
    stages = ("ready", "completed", "started", "processed")
    none = progress(0, 0, *stages)
    idle = {"state_dict": {}, "batch_progress": {**none, "is_last_batch": False}}
    done = batch_idx == num_batches
    fit: dict[str, Any] = {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": global_step},
        "epoch_loop.batch_progress": {
            **progress(global_step, batch_idx, *stages),
            "is_last_batch": done,
        },
        "epoch_loop.scheduler_progress": progress(epoch + done, int(done), "ready", "completed"),
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": progress(global_step, batch_idx, "ready", "completed"),
                "zero_grad": progress(global_step, batch_idx, "ready", "completed", "started"),
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": progress(0, 0, "ready", "completed"),
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": {**none, "is_last_batch": False},
        "epoch_progress": progress(epoch + 1, epoch + 1, "ready", "started"),
    }
    for counts in fit["epoch_progress"].values():
        counts.update(processed=epoch + done, completed=epoch)
    return {
        "fit_loop": fit,
        "validate_loop": idle,
        "test_loop": idle,
        "predict_loop": {"state_dict": {}, "batch_progress": none},
    }


def batches_done(checkpoint: Mapping[str, Any]) -> tuple[int, bool]:
    """Return how many batches of its epoch a checkpoint was saved after, and if these are all."""
    fit = checkpoint.get("loops", {}).get("fit_loop", {})
    progress = fit.get("epoch_loop.batch_progress")
    if progress is None:
        return 0, True
    return progress["current"]["completed"], progress["is_last_batch"]
