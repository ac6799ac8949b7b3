"""Read a spec: TAO's defaults, the user's values, and a check of both."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from actionrec.errors import InputError
from actionrec.spec import native_keys
from actionrec.spec.schema import Spec


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
        raise InputError("The spec file does not exist.", where=path)
    spec = make_spec(_read_yaml(path), path)
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key:
            raise InputError(
                "An override must read key=value.", where="command line", found=override
            )
        spec = _merged(spec, OmegaConf.from_dotlist([override]), "command line")
    check_spec(spec, path)
    return spec


def make_spec(values: Mapping[str, Any], where: Path | str) -> DictConfig:
    """Lay `values` (nested, TAO's keys) over the defaults; refuse unknown keys and wrong types."""
    return _merged(_defaults(), OmegaConf.create(dict(values)), where)


@cache
def _defaults() -> DictConfig:
    """Return TAO's defaults, to be merged with, which copies them."""
    return OmegaConf.structured(Spec)


def check_spec(spec: DictConfig, where: Path | str) -> None:
    """Refuse values outside their key's options or range, and values that contradict each other.

    Raises `InputError`; `where` names the file in its message.
    """
    for key, metadata in _constraints(Spec):
        if not OmegaConf.is_missing(*_parent(spec, key)):
            _check_value(OmegaConf.select(spec, key), key, metadata, where)
    _check_labels(spec.dataset.label_map, where)
    for key, sizes in (("rgb", (1, 3)), ("of", (1, 2))):
        for part in ("mean", "std"):
            name = f"dataset.augmentation_config.{key}_input_{part}"
            values = OmegaConf.select(spec, name)
            if len(values) not in sizes:
                raise InputError(
                    "There must be one value, or one for each channel.",
                    where=f"{where}: {name}",
                    found=f"{len(values)} values",
                    allowed=[f"{size} values" for size in sizes],
                )
    native_keys.check(spec, where)
    train, epochs = spec.train, native_keys.epochs(spec)
    if train.checkpoint_interval_unit == "epoch" and train.checkpoint_interval > epochs:
        key = "train.num_epochs" if epochs == train.num_epochs else "native.stop_after"
        raise InputError(
            "Checkpoints would never be saved: the interval is longer than the training.",
            where=f"{where}: train.checkpoint_interval",
            found=train.checkpoint_interval,
            allowed=[f"1 to {epochs} ({key})"],
        )


def require_key(spec: DictConfig, key: str, where: Path | str) -> Any:
    """Return the value of `key`, which the task at hand cannot do without."""
    if OmegaConf.is_missing(*_parent(spec, key)) or OmegaConf.select(spec, key) in (None, ""):
        raise InputError(
            "A key that this task needs has no value.",
            where=f"{where}: {key}",
            fix=f"set {key} in the spec",
        )
    return OmegaConf.select(spec, key)


def count_gpus(section: DictConfig) -> None:
    """Make the numbers of a task's GPUs as many as they are said to be, as TAO does.

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
        raise InputError(
            "The spec says nowhere to put results.",
            where=f"{where}: results_dir",
            fix=f"set results_dir (or {task}.results_dir)",
        )
    return Path(spec.results_dir) / task


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (yaml.YAMLError, UnicodeDecodeError, OSError, OmegaConfBaseException) as error:
        raise InputError("The spec is not valid YAML.", where=path, found=error) from error
    if not isinstance(values, dict):
        raise InputError("A spec must be a mapping of keys to values.", where=path)
    return values


def _merged(base: DictConfig, values: Any, where: Path | str) -> DictConfig:
    try:
        return OmegaConf.merge(base, values)
    except ConfigKeyError as error:
        parent, _, name = error.full_key.rpartition(".")
        known = OmegaConf.select(base, parent) if parent else base
        own = error.full_key.startswith("native.")
        raise InputError(
            "The native engine has no such key."
            if own
            else "There is no such key in TAO's schema.",
            where=f"{where}: {error.full_key}",
            found=name,
            allowed=list(known) if isinstance(known, DictConfig) else None,
        ) from error
    except OmegaConfBaseException as error:
        key = f": {error.full_key}" if error.full_key else ""
        raise InputError(str(error.msg or error).splitlines()[0], where=f"{where}{key}") from error


def _parent(spec: DictConfig, key: str) -> tuple[DictConfig, str]:
    parent, _, name = key.rpartition(".")
    return (OmegaConf.select(spec, parent) if parent else spec), name


def _constraints(schema: type, prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the dotted name and constraints of each constrained key."""
    for item in fields(schema):
        if is_dataclass(item.type):
            yield from _constraints(item.type, f"{prefix}{item.name}.")
        elif item.metadata:
            yield prefix + item.name, item.metadata


def _check_value(value: Any, key: str, metadata: Mapping[str, Any], where: Path | str) -> None:
    if value is None:
        return
    if "allowed" in metadata and value not in metadata["allowed"]:
        raise InputError(
            "The value is none of the key's options.",
            where=f"{where}: {key}",
            found=value,
            allowed=metadata["allowed"],
        )
    if "range" in metadata:
        low, high = metadata["range"]
        values = value if OmegaConf.is_list(value) else [value]
        for number in values:
            if not low <= number <= high:
                allowed = f"{low:g} or more" if high == float("inf") else f"{low:g} to {high:g}"
                raise InputError(
                    "The value is out of range.",
                    where=f"{where}: {key}",
                    found=number,
                    allowed=[allowed],
                )


def _check_labels(labels: Mapping[str, int] | None, where: Path | str) -> None:
    if labels is None:
        return
    where = f"{where}: dataset.label_map"
    if len(labels) < 2:
        raise InputError(
            "The number of classes must be larger than 1.",
            where=where,
            found=", ".join(labels) or "no class",
            fix="name at least two classes",
        )
    if sorted(labels.values()) != list(range(len(labels))):
        raise InputError(
            "The ids of the classes must be 0, 1, 2, ... each once.",
            where=where,
            found=", ".join(f"{label}: {index}" for label, index in labels.items()),
            allowed=[f"0 to {len(labels) - 1}"],
        )
