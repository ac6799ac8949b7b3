"""Checkpoints in the format of PyTorch Lightning, which is TAO's: written, read, adapted.

A checkpoint made here loads with `load_from_checkpoint` (strict) in NVIDIA's code, and one made
there loads here. Only tensors and plain values are unpickled (`weights_only`).
"""

import pickle
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from actionrec.errors import InputError
from actionrec.files import replacing, same_file_system_link
from actionrec.native import networks

LATEST = "ar_model_latest.pth"
PREFIX = "model."
HEADS = ("fc_cls.weight", "fc2.weight", "logits.conv3d.weight")
LIGHTNING = "2.5.0"  # the version whose layout of the loops' state is written


def name_of(epoch: int, step: int) -> str:
    """Return the file name of the checkpoint after `step` steps, in `epoch` (from 0)."""
    return f"model_epoch_{epoch:03d}_step_{step:05d}.pth"


def save(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    with replacing(path) as part:
        torch.save(dict(checkpoint), part)


def link_latest(path: Path) -> None:
    """Make ar_model_latest.pth beside `path` point to it, or equal it where links do not exist."""
    try:
        with replacing(path.with_name(LATEST)) as part:
            part.symlink_to(path.name)
    except OSError:
        same_file_system_link(path, path.with_name(LATEST))


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed training was writing; only the holder of the folder's lock may."""
    for pattern in (".model_*", f".{LATEST}.*"):
        for scratch in folder.glob(pattern):
            shutil.rmtree(scratch, ignore_errors=True)


def read(path: Path | str, where: str) -> dict[str, Any]:
    """Return a checkpoint's dict; `where` is the spec's key for `path`.

    Raises `InputError` if the file is missing, damaged, encrypted or holds more than data.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("The checkpoint does not exist.", where=f"spec: {where}", found=path)
    try:
        checkpoint = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise InputError(
            "The file is damaged, or no checkpoint of tensors and plain values.",
            where=f"spec: {where}",
            found=f"{path}: {str(error).splitlines()[0]}",
        ) from error
    if not isinstance(checkpoint, dict):
        raise InputError("The file holds no state_dict.", where=f"spec: {where}", found=path)
    if "state_dict_encrypted" in checkpoint:
        raise InputError(
            "The checkpoint is encrypted, which the native engine cannot read yet.",
            where=f"spec: {where}",
            found=path,
            fix="use a checkpoint saved without encryption_key",
        )
    return checkpoint


def weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the network's tensors by their own names, without Lightning's `model.` prefix.

    A dict without `state_dict` is taken for the tensors themselves.
    """
    state = checkpoint.get("state_dict", checkpoint)
    return {name.removeprefix(PREFIX): value for name, value in state.items()}


def num_classes_of(path: Path | str) -> int:
    """Return the number of classes that a checkpoint's classifier tells apart.

    Raises `InputError` if there is none.
    """
    state = weights(read(path, str(path)))
    classes = _classes(state)
    if classes is None:
        raise InputError("The checkpoint has no classifier.", where=path, allowed=HEADS)
    return classes


def _classes(state: Mapping[str, Tensor]) -> int | None:
    return next((state[head].shape[0] for head in HEADS if head in state), None)


def load_network(spec: DictConfig, path: str, where: str) -> nn.Module:
    """Return the spec's network with a checkpoint's weights; they must fit exactly.

    Raises `InputError` with the numbers if classes or network differ.
    """
    labels = spec.dataset.label_map
    network = networks.build(spec.model, len(labels))
    state = weights(read(path, where))
    classes = _classes(state)
    if classes is not None and classes != len(labels):
        raise InputError(
            "The checkpoint's number of classes is not the label map's.",
            where=f"spec: {where}",
            found=f"{path} has {classes} classes, dataset.label_map {len(labels)}",
            fix="give the label map that the checkpoint was trained with",
        )
    _refuse_other(network, state, path, where)
    network.load_state_dict(state)
    return network


def start_network(spec: DictConfig) -> nn.Module:
    """Return the spec's network as a training starts it: fresh, or from pretrained weights.

    As in TAO 7.3, rgb_pretrained_num_classes is the file's number of classes; a fresh classifier
    then replaces the file's. With 0 the file's classifier is kept, and must have the label map's
    number of classes. A 2D network takes a file of another number of input channels by their
    mean; TAO ignores tensors that have no place in a 2D network, here they are refused, except
    an ImageNet classifier (`fc`).
    """
    model, classes = spec.model, len(spec.dataset.label_map)
    path = model.rgb_pretrained_model_path
    if not path:
        return networks.build(model, classes)
    key = "model.rgb_pretrained_model_path"
    state = weights(read(path, key))
    declared = model.rgb_pretrained_num_classes or classes
    found = _classes(state)
    if found is not None and found != declared:
        _refuse_classes(path, found, model.rgb_pretrained_num_classes, classes)
    network = networks.build(model, found or classes)
    if model.input_type == "2d":
        state = _fit_2d(state, network)
    _refuse_other(network, state, path, key)
    network.load_state_dict(state)
    if model.rgb_pretrained_num_classes:
        network.replace_head(classes)
    return network


def _refuse_classes(path: str, found: int, declared: int, classes: int) -> None:
    said = f"rgb_pretrained_num_classes is {declared}"
    if declared == 0:
        said += f", which stands for the {classes} of dataset.label_map"
    raise InputError(
        "The pretrained weights have another number of classes than the spec says.",
        where="spec: model.rgb_pretrained_num_classes",
        found=f"{path} has {found} classes; {said}",
        fix=f"set model.rgb_pretrained_num_classes to {found}",
    )


def _fit_2d(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Adapt the first layer to the network's channels and leave out an ImageNet classifier."""
    own = network.state_dict()
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    for name, value in own.items():
        if name.startswith("fc_cls.") or name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
    first = state.get("conv1.weight")
    channels = own["conv1.weight"].shape[1]
    if first is not None and first.dim() == 4 and first.shape[1] != channels:
        state["conv1.weight"] = first.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
    return state


def _refuse_other(network: nn.Module, state: Mapping[str, Any], path: str, where: str) -> None:
    """Raise `InputError` unless names and shapes are exactly the network's."""
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    theirs = {name: tuple(getattr(value, "shape", ())) for name, value in state.items()}
    if own == theirs:
        return
    differences = [
        f"{name}: {theirs.get(name, 'missing')} instead of {own.get(name, 'nothing')}"
        for name in [*own, *(name for name in theirs if name not in own)]
        if own.get(name) != theirs.get(name)
    ]
    shown = "; ".join(differences[:3]) + ("; ..." if len(differences) > 3 else "")
    raise InputError(
        "The weights are of another network than the spec's model section names.",
        where=f"spec: {where}",
        found=f"{path}: {len(differences)} tensors differ: {shown}",
        fix="make model_type, backbone, input_type and rgb_seq_length those of the weights",
    )


def refuse_unfit(network: nn.Module, checkpoint: Mapping[str, Any], path: str, where: str) -> None:
    """Raise `InputError` unless a checkpoint of a training fits `network` exactly."""
    for key in ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers"):
        if key not in checkpoint:
            raise InputError(
                "The file is no checkpoint that a training can go on from.",
                where=f"spec: {where}",
                found=f"{path} has no {key}",
            )
    _refuse_other(network, weights(checkpoint), path, where)


def loops(epoch: int, step: int, batch: int, batches: int) -> dict[str, Any]:
    """Return the state of Lightning's loops after `batch` of the epoch's `batches`.

    It is what a Lightning Trainer resumes from, and where `batch_of` finds its answer.
    """

    def progress(total: int, current: int, *names: str) -> dict[str, dict[str, int]]:
        return {"total": dict.fromkeys(names, total), "current": dict.fromkeys(names, current)}

    stages = ("ready", "completed", "started", "processed")
    none = progress(0, 0, *stages)
    idle = {"state_dict": {}, "batch_progress": {**none, "is_last_batch": False}}
    done = batch == batches
    fit = {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": step},
        "epoch_loop.batch_progress": {**progress(step, batch, *stages), "is_last_batch": done},
        "epoch_loop.scheduler_progress": progress(epoch + done, int(done), "ready", "completed"),
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": progress(step, batch, "ready", "completed"),
                "zero_grad": progress(step, batch, "ready", "completed", "started"),
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": progress(0, 0, "ready", "completed"),
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": {**none, "is_last_batch": False},
        "epoch_progress": progress(epoch + 1, epoch + 1, "ready", "started"),
    }
    for count in fit["epoch_progress"].values():
        count.update(processed=epoch + done, completed=epoch)
    return {
        "fit_loop": fit,
        "validate_loop": idle,
        "test_loop": idle,
        "predict_loop": {"state_dict": {}, "batch_progress": none},
    }


def batch_of(checkpoint: Mapping[str, Any]) -> tuple[int, bool]:
    """Return how many batches of its epoch a checkpoint was saved after, and if that is all."""
    fit = checkpoint.get("loops", {}).get("fit_loop", {})
    progress = fit.get("epoch_loop.batch_progress")
    if progress is None:
        return 0, True
    return progress["current"]["completed"], progress["is_last_batch"]
