"""Checkpoints in the format of PyTorch Lightning, which is TAO's: written, read, adapted.

A checkpoint made here loads with `load_from_checkpoint` (strict) in NVIDIA's code, and one made
there loads here. Only tensors and plain values are unpickled (`weights_only`).
"""

import pickle
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
from actionrec.native.checkpoints import encrypted
from actionrec.utils.files import replacing, same_file_system_link

LATEST = "ar_model_latest.pth"
PREFIX = "model."
HEADS = ("fc_cls.weight", "fc2.weight", "logits.conv3d.weight")
LIGHTNING = "2.5.0"  # the version whose layout of the loops' state is written


def name_of(epoch: int, step: int) -> str:
    """Return the file name of the checkpoint after `step` steps, in `epoch` (from 0)."""
    return f"model_epoch_{epoch:03d}_step_{step:05d}.pth"


def save(path: Path, checkpoint: Mapping[str, Any], *, encrypt: bool = False) -> None:
    """Write a checkpoint, whole or not at all, on request encrypted with the key in TAO_KEY."""
    if encrypt:
        checkpoint = encrypted.encrypted(checkpoint)
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
    """Return a checkpoint's dict, decrypted; `where` is the spec's key for `path`.

    Raises `InputError` if the file is missing, damaged, encrypted with another key than that in
    TAO_KEY, or holds more than data.
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
    if encrypted.is_encrypted(checkpoint):
        return encrypted.decrypted(checkpoint, path, where)
    return checkpoint


def weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the network's tensors by their own names, without Lightning's `model.` prefix.

    A dict without `state_dict` is taken for the tensors themselves.
    """
    state = checkpoint.get("state_dict", checkpoint)
    return {name.removeprefix(PREFIX): value for name, value in state.items()}


def num_classes_of(path: Path | str) -> int:
    """Return the number of classes that a checkpoint's classifier tells apart.

    0 for ImageNet weights of torchvision, whose classifier is of no use. Raises `InputError` if
    there is no classifier.
    """
    state = weights(read(path, str(path)))
    classes = classes_of(state)
    if classes is None and not is_imagenet(state):
        raise InputError("The checkpoint has no classifier.", where=path, allowed=HEADS)
    return classes or 0


def classes_of(state: Mapping[str, Tensor]) -> int | None:
    """Return the number of classes of a network's classifier, or None if there is none."""
    return next((state[head].shape[0] for head in HEADS if head in state), None)


def is_imagenet(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights are those of a ResNet as torchvision stores them."""
    return "fc.weight" in state and "conv1.weight" in state


def load_network(spec: DictConfig, path: str, where: str) -> nn.Module:
    """Return the spec's network with a checkpoint's weights; they must fit exactly.

    Raises `InputError` with the numbers if classes or network differ.
    """
    labels = spec.dataset.label_map
    with _Undrawn():
        network = networks.build(spec.model, len(labels))
    state = weights(read(path, where))
    classes = classes_of(state)
    if classes is not None and classes != len(labels):
        raise InputError(
            "The checkpoint's number of classes is not the label map's.",
            where=f"spec: {where}",
            found=f"{path} has {classes} classes, dataset.label_map {len(labels)}",
            fix="give the label map that the checkpoint was trained with",
        )
    load_exactly(network, state, path, where)
    return network


class _Undrawn(TorchFunctionMode):
    """Leave new weights as memory has them: to draw what is overwritten at once takes a second.

    PyTorch's own way, the meta device, imports its compiler, which takes longer still.
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


def load_exactly(network: nn.Module, state: Mapping[str, Any], path: str, where: str) -> None:
    """Load weights whose names and shapes must be the network's; else raise `InputError`."""
    _refuse_other(network, state, path, where)
    network.load_state_dict(state)


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
        fix="make model_type, backbone, input_type and the seq_lengths those of the weights",
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
