"""The weights that a training starts from: random ones, or a file's, fitted to the network."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from omegaconf import DictConfig
from torch import nn

from actionrec.errors import InputError
from actionrec.native import networks
from actionrec.native.checkpoints import families, lightning
from actionrec.native.networks import StreamNetwork
from actionrec.native.streams import stream_lengths
from actionrec.utils.files import write_text
from actionrec.utils.text import count

RECORD = "pretrained.json"  # next to the checkpoints: where the initial weights come from


@dataclass(frozen=True)
class Origin:
    """The file that a network's weights come from, and which tensors were changed how."""

    file: str
    family: str  # "TAO", or whose public weights they are
    changes: Mapping[str, list[str]]  # names of tensors, by the kind of change

    def __str__(self) -> str:
        changes = [f"{kind}: {_names(names)}" for kind, names in self.changes.items()]
        return "; ".join([f"{self.file}, weights of {self.family}", *changes])


def _names(names: list[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{len(names)} tensors"


@dataclass(frozen=True)
class Start:
    """The network that a training starts from, and the origins of its weights by stream."""

    network: nn.Module
    origins: Mapping[str, Origin]

    def record(self, folder: Path) -> None:
        """Print the origins of the weights, and write them to `folder`."""
        for stream, origin in self.origins.items():
            print(f"Pretrained weights of {stream}: {origin}")
        content = {stream: asdict(origin) for stream, origin in self.origins.items()}
        if content:
            write_text(folder / RECORD, json.dumps(content, indent=2) + "\n")
        else:
            (folder / RECORD).unlink(missing_ok=True)


def initial_network(spec: DictConfig) -> nn.Module:
    """Return the spec's network as a training starts it; see `start`."""
    return start(spec).network


def start(spec: DictConfig) -> Start:
    """Return the network that a training starts from: random, or with pretrained weights.

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
        path = model[_path_key("joint")]
        return Start(_load_joint(model, classes), {"joint": Origin(path, families.TAO, {})})
    origins: dict[str, Origin] = {}
    parts = [_initial_stream(model, stream, classes, origins) for stream in stream_lengths(model)]
    return Start(networks.join_streams(model, parts, classes), origins)


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


def _initial_stream(
    model: DictConfig, stream: str, classes: int, origins: dict[str, Origin]
) -> StreamNetwork:
    """Return the network of one stream; if a file gives its weights, add it to `origins`."""
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
    fitted = families.fit(state_dict, network.state_dict())
    lightning.load_strict(network, fitted.state_dict, f"{path} ({fitted.family})", key)
    if new_classifier:
        network.replace_head(classes)
        fitted.changes.setdefault("new", ["the classifier"])
    origins[stream] = Origin(path, fitted.family, fitted.changes)
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
