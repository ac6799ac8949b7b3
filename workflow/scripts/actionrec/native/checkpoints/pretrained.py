"""The weights that a training starts from: fresh ones, or those of a file, adapted as TAO does."""

from typing import Any

from omegaconf import DictConfig
from torch import Tensor, nn

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.checkpoints import lightning
from actionrec.native.streams import stream_lengths

FIRST = "conv1.weight"  # of a ResNet


def start_network(spec: DictConfig) -> nn.Module:
    """Return the spec's network as a training starts it: fresh, or from pretrained weights.

    As in TAO 7.3, *_pretrained_num_classes is the file's number of classes; a fresh classifier
    then replaces the file's. With 0 the file's classifier is kept, and must have the label map's
    number of classes. A joint network keeps its streams' classifiers if they have that number,
    whatever the key says; TAO refuses others, here the key says them and fresh ones replace them.
    joint_pretrained_model_path is a whole joint network of the label map's classes; TAO takes it
    for 3D only, as it leaves Lightning's prefix on the names of a 2D one.

    Raises `InputError` with the numbers if the weights are of another network.
    """
    model, classes = spec.model, len(spec.dataset.label_map)
    given = [s for s in (*stream_lengths(model), model.model_type) if model[_path_key(s)]]
    if model.imagenet_pretrained and not given:
        raise InputError(
            "The native engine downloads no ImageNet weights.",
            where="spec: model.imagenet_pretrained",
            found=True,
            fix="give torchvision's file in model.rgb_ or of_pretrained_model_path",
        )
    if "joint" in given:
        return _load_joint(model, classes)
    started = [_start_stream(model, stream, classes) for stream in stream_lengths(model)]
    return networks.join_streams(model, started, classes)


def _path_key(stream: str) -> str:
    return f"{stream}_pretrained_model_path"


def _load_joint(model: DictConfig, classes: int) -> nn.Module:
    key = f"model.{_path_key('joint')}"
    path = model[_path_key("joint")]
    state = lightning.weights(lightning.read(path, key))
    found = lightning.classes_of(state)
    if found not in (None, classes):
        raise InputError(
            "The pretrained weights have another number of classes than the label map.",
            where=f"spec: {key}",
            found=f"{path} has {found} classes, dataset.label_map {classes}",
            fix="start the streams instead, by model.rgb_ and of_pretrained_model_path",
        )
    network = networks.build(model, classes)
    lightning.load_exactly(network, state, path, key)
    return network


def _start_stream(model: DictConfig, stream: str, classes: int) -> nn.Module:
    """Return the network of one stream with the weights of its file, if there is one."""
    key = f"model.{_path_key(stream)}"
    path = model[_path_key(stream)]
    if not path:
        return networks.build_stream(model, stream, classes)
    state = lightning.weights(lightning.read(path, key))
    declared = model[f"{stream}_pretrained_num_classes"]
    found = lightning.classes_of(state)
    fresh = declared != 0 and not (model.model_type == "joint" and found == classes)
    if found not in (None, declared if fresh else classes):
        _refuse_classes(stream, path, found, declared, classes)
    network = networks.build_stream(model, stream, found or classes)
    lightning.load_exactly(network, _fitted(state, network), path, key)
    if fresh:
        network.replace_head(classes)
    return network


def _refuse_classes(stream: str, path: str, found: int, declared: int, classes: int) -> None:
    key = f"{stream}_pretrained_num_classes"
    said = f"{key} is {declared}"
    if declared == 0:
        said += f", which stands for the {classes} of dataset.label_map"
    raise InputError(
        "The pretrained weights have another number of classes than the spec says.",
        where=f"spec: model.{key}",
        found=f"{path} has {found} classes; {said}",
        fix=f"set model.{key} to {found}",
    )


def _fitted(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Adapt a file's tensors to a network where that is possible.

    A 2D network's first layer takes the mean over the file's channels, for each channel. ImageNet
    weights as torchvision stores them lose their classifier, and are inflated for a 3D network:
    each kernel is repeated through time and divided by its length (Carreira and Zisserman, 2017).
    TAO leaves the first layer of flow at random then; here it takes the mean as in 2D. TAO drops
    tensors that have no place in a 2D network; here they are refused. Counters of batches, which
    old files lack, start at zero.
    """
    own: dict[str, Any] = network.state_dict()
    state = dict(state)
    for name, value in own.items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
    imagenet = lightning.is_imagenet(state)
    if imagenet:
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
        state |= {name: value for name, value in own.items() if name.startswith("fc_cls.")}
    first = state.get(FIRST)
    if FIRST in own and first is not None and first.dim() == 4:
        channels = own[FIRST].shape[1]
        if (imagenet or own[FIRST].dim() == 4) and first.shape[1] != channels:
            state[FIRST] = first.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
    return {name: _inflated(v, own.get(name)) for name, v in state.items()} if imagenet else state


def _inflated(kernel: Tensor, own: Tensor | None) -> Tensor:
    """Repeat a 2D kernel (O, C, H, W) through the time of a 3D one (O, C, T, H, W)."""
    if own is None or own.dim() != 5 or kernel.dim() != 4:
        return kernel
    frames = own.shape[2]
    return kernel.unsqueeze(2).repeat(1, 1, frames, 1, 1) / frames
