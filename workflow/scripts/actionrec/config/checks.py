"""Check the configuration beyond its types, and answer the questions that rules ask of it.

Used by the Snakefile at every start: standard library and jsonschema only.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from actionrec.config import sweeps
from actionrec.config.queries import (
    _archive,
    _crops,
    _input_size,
    _is_native,
    _model,
    base_experiments,
    classes,
    native,
    needs_flow,
    splits,
)
from actionrec.errors import InputError
from actionrec.spec import toolkits
from actionrec.spec.toolkits import IMAGES

DRY_RUN = "correct it, then look at the plan: snakemake -n"


def check(config: Mapping[str, Any], schema: Path, source: str) -> None:
    """Refuse a configuration that no run could finish with.

    `source` names the configuration file in messages. Raises `InputError` for unknown or
    missing keys, wrong types, classes and experiments that do not exist.
    """
    _check_schema(config, schema, source)
    _check_budgets(config, source)
    config = {**config, "experiments": sweeps.expand(config["experiments"], source)}
    _check_schema(config, schema, source)
    _check_source(config["dataset"], source)
    _check_splits(config, source)
    _check_tao(config.get("tao") or {}, source)
    _check_flow(config, source)
    _check_frames(config, source)
    _check_toolkit(config.get("tao") or {}, source)
    for name, experiment in config["experiments"].items():
        _check_native(config, name, source)
        _check_experiment(name, experiment, config, f"{source}, experiments.{name}")
    _check_cycles(config, source)


def _check_schema(config: Mapping[str, Any], schema: Path, source: str) -> None:
    validator = Draft202012Validator(yaml.safe_load(Path(schema).read_text(encoding="utf-8")))
    for error in sorted(validator.iter_errors(_plain(config)), key=lambda e: list(e.path)):
        raise _explained(error, source)


def _plain(config: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(config, default=str))


def _explained(error: ValidationError, source: str) -> InputError:
    """Turn the first schema violation into a message with the key, the value and the choices."""
    key = ".".join(str(part) for part in error.absolute_path)
    where = f"{source}, {key}" if key else source
    known = list(error.schema.get("properties", ()))
    if error.validator == "additionalProperties" and known:
        extra = next(name for name in error.instance if name not in known)
        return InputError(
            f"Unknown configuration key {extra!r}.",
            where=where,
            found=extra,
            allowed=known,
            fix=DRY_RUN,
        )
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return InputError(
            f"Missing configuration key {missing[0]!r}.",
            where=where,
            allowed=known or None,
            fix="add it; config/README.md explains every key",
        )
    if error.validator in ("oneOf", "anyOf") and error.context:
        meant = error.schema.get("description")
        return InputError(
            f"{meant or error.message}", where=where, found=json.dumps(error.instance), fix=DRY_RUN
        )
    return InputError(
        f"Configuration value not accepted: {error.message}.",
        where=where,
        found=json.dumps(error.instance),
        allowed=error.validator_value if error.validator == "enum" else None,
        fix=DRY_RUN,
    )


def _check_source(dataset: Mapping[str, Any], source: str) -> None:
    needed = {"demo": (), "archives": ("archives",)}.get(dataset["source"], ("path",))
    for key in needed:
        if not dataset.get(key):
            raise InputError(
                f"A dataset with `source: {dataset['source']}` needs dataset.{key}.",
                where=f"{source}, dataset",
                fix="add it; config/README.md explains every key",
            )
    if isinstance(dataset.get("path"), Mapping) and dataset["source"] != "table":
        raise InputError(
            "Only a dataset with `source: table` has a path for each part.",
            where=f"{source}, dataset.path",
            found=json.dumps(dataset["path"]),
            fix="name one folder",
        )
    if (dataset["source"] == "demo") != (dataset["name"] == "demo"):
        raise InputError(
            "The name `demo` belongs to the generated demo set, and to no other.",
            where=f"{source}, dataset.name",
            found=f"name: {dataset['name']}, source: {dataset['source']}",
            fix="give your dataset a name of its own",
        )
    _check_archives(dataset, f"{source}, dataset.archives")
    _check_classes(dataset["classes"], f"{source}, dataset.classes")


def _check_archives(dataset: Mapping[str, Any], where: str) -> None:
    entries = dataset.get("archives") or {}
    if dataset["source"] == "archives" and "videos" not in entries:
        raise InputError(
            "A dataset with `source: archives` needs dataset.archives.videos.",
            where=where,
            fix="add it; config/README.md explains every key",
        )
    for role, entry in entries.items():
        missing = [key for key in ("file", "urls") if not entry.get(key)]
        if missing and not entry.get("path"):
            raise InputError(
                f"An archive needs `file` and `urls`, or `path`: it has no `{missing[0]}`.",
                where=f"{where}.{role}",
                found=dict(entry),
                allowed=["file", "urls", "sha256", "path"],
                fix="add it; config/README.md explains every key",
            )
        own = Path("resources", dataset["name"], "archives", _archive(role, entry).get("file", ""))
        if entry.get("path") and Path(entry["path"]).expanduser().absolute() == own.absolute():
            raise InputError(
                "An archive is named by the path where the workflow puts it.",
                where=f"{where}.{role}.path",
                found=entry["path"],
                fix="leave `path` out: a file that is there is used; or move the file elsewhere",
            )
    if entries.get("videos") and Path(entries["videos"].get("path") or "-").is_dir():
        raise InputError(
            "dataset.archives.videos.path is a folder, not an archive.",
            where=f"{where}.videos.path",
            found=entries["videos"]["path"],
            fix="set dataset.source: folder, and dataset.path to what holds <class>/<video>",
        )


def _check_classes(names: Sequence[str], where: str) -> None:
    """Refuse classes that a reader, or another file system, takes for one."""
    first: dict[str, str] = {}
    for name in names:
        alike = first.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if alike is not name:
            raise InputError(
                "Two classes differ in capitals or in how accents are stored, and in nothing else.",
                where=where,
                found=f"{alike!r} and {name!r}",
                fix="rename the folder of one of them, and correct dataset.classes",
            )


def _check_splits(config: Mapping[str, Any], source: str) -> None:
    dataset, chosen = config["dataset"], splits(config)
    method = chosen["method"]
    if method == "given" and dataset["source"] != "table":
        problem = "Only a table gives a split of its own."
    elif method == "given" and chosen["numbers"] != [1]:
        problem = "A table gives one split, number 1."
    elif method != "official" or dataset["source"] == "demo":
        return
    elif dataset["source"] in ("archives", "folder"):
        if "splits" in (dataset.get("archives") or {}):
            return
        problem = "The official splits need their split files."
    else:
        has = {"table": "A table", "shad": "SHAD"}
        problem = f"{has[dataset['source']]} has no official split files."
    raise InputError(
        problem,
        where=f"{source}, splits",
        found=f"method: {method}, numbers: {chosen['numbers']}",
        allowed=["fraction", "given (of a table)", "official (with archives.splits)"],
        fix="set splits.method: fraction, or add dataset.archives.splits",
    )


def _check_tao(tao: Mapping[str, Any], source: str) -> None:
    in_container = tao.get("runner", "native") not in ("native", "direct")
    if in_container and not tao.get("image") and tao.get("toolkit") not in IMAGES:
        raise InputError(
            "This toolkit is not known to have an image.",
            where=f"{source}, tao.toolkit",
            found=tao.get("toolkit"),
            allowed=IMAGES,
            fix="name an image in tao.image, or choose another toolkit",
        )
    container = tao.get("container") or {}
    if tao.get("runner") == "launcher" and container.get("options"):
        raise InputError(
            "NVIDIA's launcher takes no options for its containers.",
            where=f"{source}, tao.container.options",
            found=container["options"],
            fix="remove them, or set tao.runner: docker",
        )


def _check_flow(config: Mapping[str, Any], source: str) -> None:
    flow = config.get("flow") or {}
    if flow.get("method") == "flo" and config["dataset"]["source"] == "shad":
        raise InputError(
            "SHAD's clips are cropped out of videos, whose flow cannot be read from files.",
            where=f"{source}, flow.method",
            found="flo",
            allowed=["dis", "farneback", "tvl1"],
            fix=DRY_RUN,
        )
    if flow.get("method") == "flo" and not flow.get("path"):
        raise InputError(
            "Flow that is read from .flo files needs flow.path.",
            where=f"{source}, flow",
            fix="add flow.path, the folder of <class>/<video>/*.flo, or set flow.method to dis",
        )


def _check_frames(config: Mapping[str, Any], source: str) -> None:
    """Refuse to store frames at the networks' input size if a network wants others."""
    if (config.get("frames") or {}).get("size", "source") != "model":
        return
    where, names = f"{source}, frames.size", list(config["experiments"])
    sizes = {name: _input_size(config, name) for name in names}
    if len(set(sizes.values())) > 1:
        raise InputError(
            "Frames are to be stored at the input size, and the experiments have several.",
            where=where,
            found=", ".join(f"{name}: {w} x {h}" for name, (w, h) in sizes.items()),
            fix="give all experiments one input_width and input_height, or set frames.size: source",
        )
    if cropping := [name for name in names if needs_flow(config, name) or _crops(config, name)]:
        raise InputError(
            "Experiments that crop frames, or see flow, need the frames as the videos have them.",
            where=where,
            found=f"model, with {', '.join(cropping)}",
            fix="set dataset.augmentation_config.train_crop_type: no_crop in the spec, or set "
            "frames.size: source",
        )


def _check_native(config: Mapping[str, Any], name: str, source: str) -> None:
    runner = (config.get("tao") or {}).get("runner", "native")
    if runner != "native" and (own := native(config, name)):
        raise InputError(
            "Settings that only the native engine has, but another runner is to train.",
            where=f"{source}, native or experiments.{name}.native",
            found=f"{', '.join(own)} with tao.runner: {runner}",
            fix="remove `native`, or set tao.runner: native",
        )


def _check_budgets(config: Mapping[str, Any], source: str) -> None:
    for name, experiment in config["experiments"].items():
        if not (experiment or {}).get("budget"):
            continue
        where = f"{source}, experiments.{name}.budget"
        if "sweep" not in experiment:
            raise InputError(
                "A budget is for a sweep, whose experiments it compares.",
                where=where,
                fix="add `sweep`, or remove `budget`; to end one training, set native.stop_after",
            )
        if not _is_native(config):
            raise InputError(
                "Only the native engine can stop a training before its last epoch and go on later.",
                where=where,
                found=f"tao.runner: {config['tao']['runner']}",
                fix="remove `budget`, or set tao.runner: native",
            )
        if splits(config)["validation"] == "test":
            raise InputError(
                "A budget stops experiments by their validation, and that is the test side.",
                where=where,
                found="splits.validation: test",
                fix="remove `budget`, or set splits.validation to a fraction, such as 0.2",
            )


def _check_toolkit(tao: Mapping[str, Any], source: str) -> None:
    toolkit = tao.get("toolkit", toolkits.TOOLKITS[-1])
    if tao.get("runner", "native") == "native" and not toolkits.resumes(toolkit):
        raise InputError(
            "The native engine takes the place of TAO 5.5 and newer.",
            where=f"{source}, tao.toolkit",
            found=toolkit,
            allowed=[name for name in toolkits.TOOLKITS if toolkits.resumes(name)],
            fix="choose one of these, or a tao.runner that runs NVIDIA's own code",
        )
    if tao.get("encrypt") is False and toolkits.is_old(toolkit):
        raise InputError(
            f"TAO {toolkit} encrypts all that it writes.",
            where=f"{source}, tao.encrypt",
            found="false",
            fix="remove the key",
        )


def _check_experiment(
    name: str, experiment: Mapping[str, Any] | None, config: Mapping[str, Any], where: str
) -> None:
    if name == config["dataset"]["name"]:
        raise InputError(
            "An experiment may not have the dataset's name: both own a folder of results.",
            where=where,
            found=name,
            fix="rename the experiment",
        )
    labels = classes(config, name)
    for label in labels:
        if label not in config["dataset"]["classes"]:
            raise InputError(
                f"The experiment asks for a class that the dataset does not have: {label!r}.",
                where=f"{where}.classes",
                found=label,
                allowed=config["dataset"]["classes"],
                fix="correct the class, or add it to dataset.classes",
            )
    if len(labels) < 2:
        raise InputError(
            "TAO needs two classes or more.",
            where=f"{where}.classes",
            found=list(labels),
            fix="add a class",
        )
    _check_pretrained(name, config, where)


def _check_pretrained(name: str, config: Mapping[str, Any], where: str) -> None:
    model_type = _model(config, name)["model_type"]
    chosen = (config["experiments"][name] or {}).get("pretrained") or {}
    if model_type != "joint" and set(chosen) & {"rgb", "of"}:
        raise InputError(
            "Only a joint network takes weights for each of its streams.",
            where=f"{where}.pretrained",
            found=f"model_type {model_type}, pretrained for {' and '.join(chosen)}",
            fix="give the source itself: pretrained: {experiment: NAME}",
        )
    for stream, base in base_experiments(config, name).items():
        key = f"{where}.pretrained.experiment"
        if stream != model_type:
            key = f"{where}.pretrained.{stream}.experiment"
        if base not in config["experiments"]:
            raise InputError(
                "The pretrained weights are to come from an experiment that does not exist; "
                "a sweep's experiments have names of their own.",
                where=key,
                found=base,
                allowed=[other for other in config["experiments"] if other != name],
                fix=DRY_RUN,
            )
        _refuse_unfit_base(name, stream, base, config, key)


def _refuse_unfit_base(
    name: str, stream: str, base: str, config: Mapping[str, Any], where: str
) -> None:
    """Raise `InputError` if `base` trains another network than the stream that starts from it.

    The first layer of a 2D network adapts to another number of channels, so that frames and flow
    can start from each other; no other layer does.
    """
    own, other = _model(config, name), _model(config, base)
    types = {stream}
    if own["input_type"] == "2d" and stream != "joint":
        types = {"rgb", "of"}
    found = [f"{key} {other[key]}" for key in ("input_type", "backbone") if own[key] != other[key]]
    if other["model_type"] not in types:
        found.append(f"model_type {other['model_type']}")
    if found:
        wanted = f"input_type {own['input_type']}, backbone {own['backbone']}"
        raise InputError(
            "The pretrained weights are to come from an experiment with another network.",
            where=where,
            found=f"{base}: {', '.join(found)}",
            allowed=[f"{wanted}, model_type {' or '.join(sorted(types))}"],
            fix="name an experiment with that network, or make the networks equal",
        )
    counts = len(classes(config, base)), len(classes(config, name))
    own_head = own["model_type"] != "joint" or (stream != "joint" and _is_native(config))
    if counts[0] != counts[1] and not own_head:
        raise InputError(
            "A joint network takes weights of its own number of classes only.",
            where=where,
            found=f"{base} has {counts[0]} classes, {name} {counts[1]}",
            fix="with the native runner, start its streams: pretrained: {rgb: ..., of: ...}",
        )


def _check_cycles(config: Mapping[str, Any], source: str) -> None:
    def follow(chain: list[str]) -> None:
        for base in base_experiments(config, chain[-1]).values():
            if base in chain:
                raise InputError(
                    "Experiments start from each other's weights in a circle.",
                    where=f"{source}, experiments",
                    found=" <- ".join([*chain, base]),
                    fix="let one of them start from `pretrained: null`",
                )
            follow([*chain, base])

    for name in config["experiments"]:
        follow([name])
