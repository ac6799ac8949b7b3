"""Read a spec: TAO's defaults, the user's values, and a check of both."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, cast, get_args, get_origin

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from actionrec.errors import InputError
from actionrec.spec import native_keys
from actionrec.spec.dotted_keys import value_at
from actionrec.spec.errors import SpecError
from actionrec.spec.schema import Spec, type_of
from actionrec.utils.text import count

# How the values of a key are called in messages.
TYPE_NAMES = {int: "whole number", float: "number", bool: "true or false", str: "text"}

MAX_NODES = 200_000  # of a spec's YAML, with its aliases expanded: some 100,000 labels
MAX_INTEGER = 2**32 - 1  # of NumPy's seeds, and far above any size

# A spec may be another person's. So nothing in it reads the environment but the key for the
# encryption, which no file shows; other values may refer to keys of the spec, though not to that.
_KEY_VARIABLE = re.compile(r"\$\{oc\.env:\w+(,[^${}]*)?\}")
_KEY_REFERENCE = re.compile(r"\$\{(?!encryption_key\b)[A-Za-z]\w*(\.\w+|\[\d+\])*\}")


def load_spec(path: Path | str, overrides: Sequence[str] = ()) -> DictConfig:
    """Read a spec file, apply `a.b=c` overrides and check every key, type and value.

    Raises `InputError` with the file and the key.
    """
    path = Path(path)
    if path.suffix != ".yaml":
        raise InputError(
            "A spec file's name must end in .yaml (TAO skips its checks for any other).",
            where=path,
            found=path.suffix or "no extension",
            allowed=[".yaml"],
        )
    if not path.is_file():
        raise InputError("The spec file does not exist.", where=path, fix="correct the path")
    spec = make_spec(_read_yaml(path), path)
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key:
            raise InputError(
                "An override must read key=value.",
                where="command line",
                found=override,
                fix="write it as in train.num_epochs=5",
            )
        spec = _overridden(spec, override)
    _require_key_variable(spec, path)
    check_spec(spec, path)
    return spec


def make_spec(values: Mapping[str, Any], where: Path | str) -> DictConfig:
    """Lay `values` (nested, TAO's keys) over the defaults; refuse unknown keys and wrong types."""
    return _laid_over(_defaults(), values, where)


def _overridden(spec: DictConfig, override: str) -> DictConfig:
    try:
        values = OmegaConf.to_container(OmegaConf.from_dotlist([override]))
    except (
        yaml.YAMLError,
        OmegaConfBaseException,
        ValueError,
        LookupError,
        RecursionError,
    ) as error:
        raise InputError(
            "An override's value is not valid YAML.",
            where="command line",
            found=override,
            fix="put a text with special characters into quotes: 'key=\"value\"'",
        ) from error
    return _laid_over(spec, cast(dict[str, Any], values), "command line")


def _laid_over(base: DictConfig, values: Mapping[str, Any], where: Path | str) -> DictConfig:
    """Return `values` over those of `base`, with references to other keys replaced."""
    _refuse_misshapen(values, Spec, where, "")
    leaves = dict(_leaves(values))
    references = [
        key
        for key, value in leaves.items()
        if isinstance(value, str) and "${" in value and not _is_refused(key, value, where)
    ]
    spec = _merged(base, dict(values), where)
    if references:
        _replace_references(spec, leaves, where)
    for key, value in leaves.items():
        _refuse_absurd_number(key, value, where)
    return spec


def _leaves(values: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and value of each scalar in nested mappings and lists."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, list | tuple):
        for index, value in enumerate(values):
            yield from _leaves(value, f"{key}[{index}]")
    else:
        yield key, values


def _is_refused(key: str, text: str, where: Path | str) -> bool:
    """Raise `SpecError` for a text that would read the environment; else return False."""
    if key == "encryption_key" and _KEY_VARIABLE.fullmatch(text):
        return False
    if "${" not in _KEY_REFERENCE.sub("", text):
        return False
    raise SpecError(
        "A value of a spec reads nothing from outside of it, such as environment variables.",
        key=key,
        where=where,
        found=text,
        allowed="a value, a key of the spec: ${train.num_epochs}",
        fix="write the value itself; only encryption_key may name a variable: ${oc.env:TAO_KEY}",
    )


def _replace_references(spec: DictConfig, leaves: Mapping[str, Any], where: Path | str) -> None:
    """Put the values of other keys where a spec refers to them; the key for encryption stays."""
    own = OmegaConf.masked_copy(spec, ["encryption_key"])
    spec.encryption_key = None
    try:
        OmegaConf.resolve(spec)
    except (OmegaConfBaseException, RecursionError) as error:
        key = str(getattr(error, "full_key", None) or "")
        raise SpecError(
            "A reference leads to no value of its key's type.",
            key=key,
            where=where,
            found=leaves.get(key) or ", ".join(str(v) for v in leaves.values() if "${" in str(v)),
            fix="name a key of this spec that has a value, as in ${train.num_epochs}",
        ) from error
    spec.merge_with(own)


def _require_key_variable(spec: DictConfig, where: Path | str) -> None:
    try:
        OmegaConf.select(spec, "encryption_key")
    except OmegaConfBaseException as error:
        raise SpecError(
            "The environment variable with the key for the encryption is not set.",
            key="encryption_key",
            where=where,
            found=cast(dict[str, Any], OmegaConf.to_container(spec))["encryption_key"],
            fix="export it, or name TAO_KEY: ${oc.env:TAO_KEY}",
        ) from error


def _refuse_absurd_number(key: str, value: Any, where: Path | str) -> None:
    # A text counts too: OmegaConf makes a number of it where the key has one.
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{10,}", value) and type_of(key) is int:
        value = math.inf
    if isinstance(value, int | float) and not abs(value) <= MAX_INTEGER:
        raise SpecError(
            "The number is too large, or none.",
            key=key,
            where=where,
            found=str(value)[:40] if isinstance(value, float) else f"{len(str(value))} digits",
            allowed=f"up to {MAX_INTEGER}",
        )


@cache
def _defaults() -> DictConfig:
    """Return TAO's defaults, to be merged with, which copies them."""
    return OmegaConf.structured(Spec)


def check_spec(spec: DictConfig, where: Path | str) -> None:
    """Refuse values outside their key's options or range, and values that contradict each other.

    Raises `SpecError`; `where` names the file in its message.
    """
    for key, metadata in _constraints():
        if not OmegaConf.is_missing(*_parent(spec, key)):
            _check_value(OmegaConf.select(spec, key), key, metadata, where)
    _check_labels(spec.dataset.label_map, where)
    _check_channels(spec, where)
    native_keys.check(spec, where)
    _check_interval(spec, where)


def _check_channels(spec: DictConfig, where: Path | str) -> None:
    for stream, sizes in (("rgb", (1, 3)), ("of", (1, 2))):
        for part in ("mean", "std"):
            key = f"dataset.augmentation_config.{stream}_input_{part}"
            values = OmegaConf.select(spec, key)
            if len(values) not in sizes:
                raise SpecError(
                    "There must be one value, or one for each channel.",
                    key=key,
                    where=where,
                    found=count(len(values), "value"),
                    allowed=", ".join(count(size, "value") for size in sizes),
                )


def _check_interval(spec: DictConfig, where: Path | str) -> None:
    train, epochs = spec.train, native_keys.epochs(spec)
    if train.checkpoint_interval_unit == "epoch" and train.checkpoint_interval > epochs:
        key = "train.num_epochs" if epochs == train.num_epochs else "native.stop_after"
        raise SpecError(
            "Checkpoints would never be saved: the interval is longer than the training.",
            key="train.checkpoint_interval",
            where=where,
            found=train.checkpoint_interval,
            allowed=f"1 to {epochs} ({key})",
        )


def require_key(spec: DictConfig, key: str, where: Path | str) -> Any:
    """Return the value of `key`, which the task at hand cannot do without."""
    if OmegaConf.is_missing(*_parent(spec, key)) or OmegaConf.select(spec, key) in (None, ""):
        raise SpecError(
            "A key that this task needs has no value.",
            key=key,
            where=where,
            fix=f"set {key} in the spec",
        )
    return OmegaConf.select(spec, key)


def reconcile_gpus(section: DictConfig) -> None:
    """Make a task's `num_gpus` and `gpu_ids` agree, as TAO does.

    The larger of `num_gpus` and the length of `gpu_ids` counts; too few ids are replaced.
    """
    if "gpu_ids" in section and section.num_gpus != len(section.gpu_ids):
        section.num_gpus = max(section.num_gpus, len(section.gpu_ids))
        if len(section.gpu_ids) < section.num_gpus:
            section.gpu_ids = list(range(section.num_gpus))


def results_dir(spec: DictConfig, task: str, where: Path | str) -> Path:
    """Return the folder of a task's results: <task>.results_dir, else results_dir/<task>."""
    own = OmegaConf.select(spec, f"{task}.results_dir")
    if own:
        return Path(own)
    if not spec.results_dir:
        raise SpecError(
            "The spec says nowhere to put results.",
            key="results_dir",
            where=where,
            fix=f"set results_dir (or {task}.results_dir)",
        )
    return Path(spec.results_dir) / task


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = OmegaConf.to_container(OmegaConf.load(path, max_yaml_expanded_nodes=MAX_NODES))
    except (yaml.YAMLError, ValueError, OSError, OmegaConfBaseException, RecursionError) as error:
        marked = error if isinstance(error, yaml.MarkedYAMLError) else None
        mark = marked.problem_mark if marked else None
        problem = marked.problem if marked else str(error).partition("\n")[0]
        raise InputError(
            "The spec is not valid YAML, or too large.",
            where=f"{path}:{mark.line + 1}" if mark else path,
            found=str(problem).partition(". See")[0],
            fix="correct the line; a spec may hold aliases (*name) of at most "
            f"{MAX_NODES} values in all",
        ) from error
    if not isinstance(values, dict):
        raise InputError(
            "A spec must be a mapping of keys to values.",
            where=path,
            found=type(values).__name__,
            fix="write keys such as `model:` at the left margin, with their values below",
        )
    return cast(dict[str, Any], values)


def _merged(base: DictConfig, values: Any, where: Path | str) -> DictConfig:
    try:
        return cast(DictConfig, OmegaConf.merge(base, values))
    except ConfigKeyError as error:
        key = error.full_key or str(error.key)
        parent, _, name = key.rpartition(".")
        known = OmegaConf.select(base, parent) if parent else base
        own = key.startswith("native.")
        raise SpecError(
            "The native engine has no such key."
            if own
            else "There is no such key in TAO's schema.",
            key=key,
            where=where,
            found=name,
            allowed=list(known) if isinstance(known, DictConfig) else None,
        ) from error
    except OmegaConfBaseException as error:
        key, problem = error.full_key or "", str(error.msg or error).splitlines()[0]
        if "could not be converted" not in problem:  # OmegaConf speaks of its own classes
            problem = "The value has the wrong type."
        found = value_at(values, key)
        allowed = _type_names(key)
        raise SpecError(problem, key=key, where=where, found=found, allowed=allowed) from error


def _refuse_misshapen(values: Any, schema: Any, where: Path | str, prefix: str) -> None:
    """Raise `SpecError` where a section is no mapping, or a list or mapping is not the key's."""
    if not isinstance(values, Mapping):
        raise SpecError(
            "A section must be a mapping of keys to values.",
            key=prefix,
            where=where,
            found=values,
            allowed=[item.name for item in fields(schema)],
        )
    for item in fields(schema):
        if item.name not in values:
            continue
        value, key = values[item.name], f"{prefix}.{item.name}" if prefix else item.name
        if is_dataclass(item.type):
            _refuse_misshapen(value, item.type, where, key)
        elif _is_misshapen(value, item.type):
            problem, allowed = "The value has the wrong type.", _type_names(key)
            raise SpecError(problem, key=key, where=where, found=value, allowed=allowed)


def _is_misshapen(value: Any, annotation: Any) -> bool:
    """Tell whether a list or mapping is not of the key's type; OmegaConf lets some pass."""
    if not isinstance(value, list | Mapping):
        return False
    kinds = {get_origin(kind) or kind for kind in get_args(annotation) or (annotation,)}
    kinds = {get_origin(annotation)} if get_origin(annotation) in (list, dict) else kinds
    items = value.values() if isinstance(value, Mapping) else value
    fits = (dict if isinstance(value, Mapping) else list) in kinds
    return not fits or any(isinstance(item, list | Mapping) for item in items)


def _type_names(key: str) -> str | None:
    """Return how the values that a key may take are called; None for a section or no key."""
    found = type_of(key)
    members = get_args(found) if isinstance(found, UnionType) else [found]
    if any(member is None or is_dataclass(member) for member in members):
        return None
    return ", ".join(map(_type_name, members))


def _type_name(annotation: Any) -> str:
    if annotation is type(None):
        return "null"
    if get_origin(annotation) is list:
        return f"list of {_type_name(get_args(annotation)[0])}s, such as [1, 2]"
    return TYPE_NAMES.get(annotation, "mapping")


def _parent(spec: DictConfig, key: str) -> tuple[DictConfig, str]:
    parent, _, name = key.rpartition(".")
    return (OmegaConf.select(spec, parent) if parent else spec), name


@cache
def _constraints() -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """Return the dotted name and metadata of each key with options or a range."""
    return tuple(
        (key, metadata)
        for key, metadata in _described(Spec)
        if metadata.keys() & {"allowed", "range"}
    )


def _described(schema: Any, prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the dotted name and metadata of each key of a dataclass and those in it."""
    for item in fields(schema):
        if is_dataclass(item.type):
            yield from _described(item.type, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item.metadata


def _check_value(value: Any, key: str, metadata: Mapping[str, Any], where: Path | str) -> None:
    if value is None:
        return
    if "allowed" in metadata and value not in metadata["allowed"]:
        raise SpecError(
            "The value is none of the key's options.",
            key=key,
            where=where,
            found=value,
            allowed=metadata["allowed"],
        )
    if "range" in metadata:
        low, high = metadata["range"]
        for number in value if OmegaConf.is_list(value) else [value]:
            if not low <= number <= high:
                raise SpecError(
                    "The value is out of range.",
                    key=key,
                    where=where,
                    found=number,
                    allowed=range_text(low, high),
                )


def range_text(low: float, high: float) -> str:
    """Return a range of numbers in words."""
    if high < float("inf"):
        return f"{low:g} to {high:g}"
    return "more than 0" if 0 < low < 1e-3 else f"{low:g} or more"


def _check_labels(labels: Mapping[str, int] | None, where: Path | str) -> None:
    if labels is None:
        return
    if len(labels) < 2:
        raise SpecError(
            "The number of classes must be larger than 1.",
            key="dataset.label_map",
            where=where,
            found=", ".join(labels) or "no class",
            fix="name at least two classes",
        )
    if sorted(labels.values()) != list(range(len(labels))):
        raise SpecError(
            "The ids of the classes must be 0, 1, 2, ... each once.",
            key="dataset.label_map",
            where=where,
            found=", ".join(f"{label}: {index}" for label, index in labels.items()),
            allowed=f"0 to {len(labels) - 1}",
        )
