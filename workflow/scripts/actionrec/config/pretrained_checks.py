"""Check the weights that experiments start from, against their networks and each other."""

from collections.abc import Mapping, Sequence

from omegaconf import DictConfig

from actionrec.config import queries
from actionrec.config.files import ConfigFiles
from actionrec.config.messages import dry_run
from actionrec.config.queries import Config
from actionrec.config.yaml_traps import Key
from actionrec.errors import InputError


def check(config: Config, specs: Mapping[str, DictConfig], files: ConfigFiles) -> None:
    """Refuse weights that an experiment's network cannot start from.

    `config` is complete, `specs` holds the spec of each experiment; `files` name the places in
    messages.
    """
    for name in config["experiments"]:
        _check_streams(config, name, files)
        _check_imagenet(config, specs[name].model, name, files)
        for stream, source in queries.pretrained(config, name).items():
            if "torchvision" in source:
                _check_torchvision(config, specs[name].model, name, stream, files)
        for stream in queries.base_experiments(config, name):
            _check_base(config, specs, name, stream, files)
    _check_cycles(config, files)


def _check_streams(config: Config, name: str, files: ConfigFiles) -> None:
    model_type = queries.spec_value(config, name, "model.model_type")
    chosen = [
        key for key, value in (config["experiments"][name]["pretrained"] or {}).items() if value
    ]
    if model_type != "joint" and set(chosen) & {"rgb", "of"}:
        raise InputError(
            "Only a joint network takes weights for each of its streams.",
            where=files.where("experiments", name, "pretrained"),
            found=f"model_type {model_type}, pretrained for {' and '.join(chosen)}",
            fix="give the source itself: pretrained: {experiment: NAME}",
        )


def _check_imagenet(config: Config, model: DictConfig, name: str, files: ConfigFiles) -> None:
    """Refuse ImageNet weights that only NVIDIA's code would download, and the engine would lack."""
    if not model.imagenet_pretrained or config["tao"]["runner"] != "native":
        return
    if queries.pretrained(config, name):
        return
    fix = "name an experiment's pretrained"
    if model.backbone != "i3d":
        network = model.backbone.replace("_", "")
        fix = f"write pretrained: {{torchvision: {network}}} instead, which is a download, too"
    raise InputError(
        "The native engine takes ImageNet weights from a file.",
        where=f"{files}, model.imagenet_pretrained of {name}",
        found="true, and no pretrained",
        fix=fix,
    )


def _check_torchvision(
    config: Config, model: DictConfig, name: str, stream: str, files: ConfigFiles
) -> None:
    """Refuse PyTorch's weights for a network that they do not fit, or that NVIDIA's code trains."""
    source = queries.pretrained(config, name)[stream]
    network = source["torchvision"]
    key: tuple[Key, ...] = () if stream == model.model_type else (stream,)
    where = files.where("experiments", name, "pretrained", *key, "torchvision")
    if config["tao"]["runner"] != "native":
        raise InputError(
            "Only the native engine fits PyTorch's weights to TAO's networks.",
            where=where,
            found=f"tao.runner: {config['tao']['runner']}",
            fix="set tao.runner: native; other runners can evaluate and export what it trains",
        )
    clips = network == "r3d_18"  # the only one of clips
    fitting = "resnet_18" if clips else network.replace("resnet", "resnet_")
    if stream == "joint" or model.backbone != fitting or (clips and model.input_type != "3d"):
        what = f"joint, {model.backbone}" if stream == "joint" else model.backbone
        raise InputError(
            "The pretrained weights are of another network.",
            where=where,
            found=f"{network}, for {what} in {model.input_type}",
            allowed=f"backbone {fitting}, input_type 3d" + ("" if clips else " or 2d"),
            fix="with a joint network, give each stream its own: pretrained: {rgb: ..., of: ...}"
            if stream == "joint"
            else None,
        )


def _check_base(
    config: Config,
    specs: Mapping[str, DictConfig],
    name: str,
    stream: str,
    files: ConfigFiles,
) -> None:
    """Refuse to start an experiment's stream from an experiment that is not there or not alike."""
    base = queries.base_experiments(config, name)[stream]
    whole = stream == specs[name].model.model_type
    key: tuple[Key, ...] = ("experiment",) if whole else (stream, "experiment")
    where = files.where("experiments", name, "pretrained", *key)
    if base not in specs:
        raise InputError(
            "The pretrained weights are to come from an experiment that does not exist; "
            "a sweep's experiments have names of their own.",
            where=where,
            found=base,
            allowed=[other for other in specs if other != name],
            fix=dry_run(),
        )
    is_native = config["tao"]["runner"] == "native"
    types = _fitting_types(specs[name].model, stream, is_native)
    if found := _differences(specs[name].model, specs[base].model, types):
        raise InputError(
            "The pretrained weights are to come from an experiment with another network.",
            where=where,
            found=f"{base}: {', '.join(found)}",
            allowed=_network(specs[name].model, types),
            fix="name an experiment with that network, or make the networks equal",
        )
    counts = len(queries.classes(config, base)), len(queries.classes(config, name))
    own_head = specs[name].model.model_type != "joint" or (stream != "joint" and is_native)
    if counts[0] != counts[1] and not own_head:
        raise InputError(
            "A joint network takes only weights of the same number of classes.",
            where=where,
            found=f"{base} has {counts[0]} classes, {name} {counts[1]}",
            fix="with the native runner, start its streams: pretrained: {rgb: ..., of: ...}",
        )


def _differences(own: DictConfig, other: DictConfig, types: Sequence[str]) -> list[str]:
    """Return in what a base's network differs from the one of the stream that starts from it."""
    found = [f"{key} {other[key]}" for key in ("input_type", "backbone") if own[key] != other[key]]
    if other.model_type not in types:
        found.append(f"model_type {other.model_type}")
    return found


def _network(own: DictConfig, types: Sequence[str]) -> str:
    network = f"input_type {own.input_type}, backbone {own.backbone}"
    return f"{network}, model_type {' or '.join(types)}"


def _fitting_types(own: DictConfig, stream: str, is_native: bool) -> list[str]:
    """Return the types of networks whose weights fit a stream.

    The first layer of a 2D network adapts to another number of channels, so that frames and flow
    can start from each other. In 3D only flow starts from frames, and by the native engine alone.
    """
    if own.input_type == "2d" and stream != "joint":
        return ["of", "rgb"]
    return ["of", "rgb"] if stream == "of" and is_native else [stream]


def _check_cycles(config: Config, files: ConfigFiles) -> None:
    def follow(chain: list[str]) -> None:
        for base in queries.base_experiments(config, chain[-1]).values():
            if base in chain:
                raise InputError(
                    "Experiments start from each other's weights in a circle.",
                    where=files.where("experiments"),
                    found=" <- ".join([*chain, base]),
                    fix="let one of them start from `pretrained: null`",
                )
            follow([*chain, base])

    for name in config["experiments"]:
        follow([name])
