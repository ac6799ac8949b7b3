"""The weights that a training starts from: random ones, or a file's, adapted as TAO does (7.3)."""

from collections.abc import Mapping

from omegaconf import DictConfig
from torch import Tensor, nn

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.checkpoints import lightning
from actionrec.native.networks import StreamNetwork
from actionrec.native.streams import stream_lengths
from actionrec.utils.text import count

FIRST_LAYER = "conv1.weight"  # of a ResNet


def initial_network(spec: DictConfig) -> nn.Module:
    """Return the spec's network as a training starts it: random, or from pretrained weights.

    As in TAO 7.3, *_pretrained_num_classes is the file's number of classes, and a random classifier
    replaces the file's. With 0 the file's classifier is kept; it must have as many classes as the
    label map. A joint network keeps the classifiers of its streams if they have as many, whatever
    the key says. Other classifiers TAO refuses; here random ones replace them, if the key has the
    file's number. joint_pretrained_model_path is a whole joint network of the label map's classes.
    TAO takes it for 3D only, because it leaves Lightning's prefix on the names of a 2D one.

    Raises `InputError`, with the numbers, if the weights are of another network.
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
    parts = [_initial_stream(model, stream, classes) for stream in stream_lengths(model)]
    return networks.join_streams(model, parts, classes)


def _path_key(stream: str) -> str:
    return f"{stream}_pretrained_model_path"


def _load_joint(model: DictConfig, classes: int) -> nn.Module:
    key = f"model.{_path_key('joint')}"
    path = model[_path_key("joint")]
    state_dict = lightning.network_state_dict(lightning.read(path, key))
    found = lightning.count_classes(state_dict)
    if found is not None and found != classes:
        raise InputError(
            "The pretrained weights have another number of classes than the label map.",
            where=f"spec: {key}",
            found=f"{path} has {count(found, 'class')}, dataset.label_map {classes}",
            fix="start the streams instead, by model.rgb_ and of_pretrained_model_path",
        )
    network = networks.build(model, classes)
    lightning.load_strict(network, state_dict, path, key)
    return network


def _initial_stream(model: DictConfig, stream: str, classes: int) -> StreamNetwork:
    """Return the network of one stream with the weights of its file, if there is one."""
    key = f"model.{_path_key(stream)}"
    path = model[_path_key(stream)]
    if not path:
        return networks.build_stream(model, stream, classes)
    state_dict = lightning.network_state_dict(lightning.read(path, key))
    declared = model[f"{stream}_pretrained_num_classes"]
    found = lightning.count_classes(state_dict)
    new_classifier = declared != 0 and not (model.model_type == "joint" and found == classes)
    if found is not None and found != (declared if new_classifier else classes):
        raise _wrong_classes(stream, path, found, declared, classes)
    network = networks.build_stream(model, stream, found or classes)
    lightning.load_strict(network, _adapt(state_dict, network.state_dict()), path, key)
    if new_classifier:
        network.replace_head(classes)
    return network


def _wrong_classes(stream: str, path: str, found: int, declared: int, classes: int) -> InputError:
    key = f"{stream}_pretrained_num_classes"
    setting = f"{key} is {declared}"
    if declared == 0:
        setting += f", which stands for the {classes} of dataset.label_map"
    return InputError(
        "The pretrained weights have another number of classes than the spec says.",
        where=f"spec: model.{key}",
        found=f"{path} has {count(found, 'class')}; {setting}",
        fix=f"set model.{key} to {found}",
    )


def _adapt(state_dict: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a file's tensors, adapted to the network whose state dict is `own`, if they can be.

    Where this cannot make them fit, `lightning.load_strict` refuses them. TAO drops tensors that
    have no place in a 2D network, and leaves the first layer of flow random for ImageNet weights.
    """
    state_dict = dict(state_dict)
    # Old files lack the counters of batch normalisation, which training does not read.
    for name, value in own.items():
        if name.endswith("num_batches_tracked"):
            state_dict.setdefault(name, value)
    imagenet = lightning.is_imagenet(state_dict)
    if imagenet:
        # A classifier of torchvision's name and of 1,000 classes is replaced by a random one.
        state_dict = {n: value for n, value in state_dict.items() if not n.startswith("fc.")}
        state_dict |= {n: value for n, value in own.items() if n.startswith("fc_cls.")}
    _adapt_channels(state_dict, own, imagenet)
    if imagenet:
        return {name: _inflate(value, own.get(name)) for name, value in state_dict.items()}
    return state_dict


def _adapt_channels(
    state_dict: dict[str, Tensor], own: Mapping[str, Tensor], imagenet: bool
) -> None:
    """Give each input channel of a 2D first layer the mean over the file's channels.

    This lets flow start from frames, and a clip of T stacked frames from single images. A 3D file
    keeps its channels: 3D networks see the channels of one frame only.
    """
    kernel = state_dict.get(FIRST_LAYER)  # (out, in, H, W) in 2D
    if kernel is None or FIRST_LAYER not in own or kernel.dim() != 4:
        return
    channels = own[FIRST_LAYER].shape[1]
    if (imagenet or own[FIRST_LAYER].dim() == 4) and kernel.shape[1] != channels:
        state_dict[FIRST_LAYER] = kernel.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)


def _inflate(kernel: Tensor, own: Tensor | None) -> Tensor:
    """Repeat a 2D kernel (O, C, H, W) through the time of a 3D one (O, C, T, H, W).

    It is divided by T, so that a clip of equal frames has the image's activations (Carreira and
    Zisserman, "Quo Vadis, Action Recognition?", 2017).
    """
    if own is None or own.dim() != 5 or kernel.dim() != 4:
        return kernel
    frames = own.shape[2]
    return kernel.unsqueeze(2).repeat(1, 1, frames, 1, 1) / frames
