"""Which keys of a spec results depend on: only these decide whether something is made again.

The schema marks the others, such as the number of processes that read frames. Their current values
are laid over a spec when its task runs, so that a change waits for the next run and causes none.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from actionrec.spec import dotted_keys, native_keys, toolkits
from actionrec.spec.schema import Spec
from actionrec.utils.files import write_text
from actionrec.utils.small_files import read_yaml

if TYPE_CHECKING:
    from omegaconf import DictConfig


@cache
def irrelevant_keys() -> tuple[str, ...]:
    """Return the dotted names of the keys and sections that change no result, as in 7.3."""
    return tuple(_marked(Spec))


def _marked(schema: Any, prefix: str = "") -> Iterator[str]:
    for item in fields(schema):
        key = prefix + item.name
        if not item.metadata.get("changes_results", True):
            yield key
        elif is_dataclass(item.type):
            yield from _marked(item.type, f"{key}.")


def is_relevant(key: str) -> bool:
    """Tell whether results depend on a key, by its dotted name in 7.3."""
    return not _is_one_of(key, irrelevant_keys())


def _is_one_of(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def relevant(keys: Mapping[str, Any], toolkit: str, prefix: str = "") -> dict[str, Any]:
    """Return those of a user's nested keys that results depend on, in no order but their own.

    `prefix` names their section. A default that is written down changes nothing and is left out;
    but of toolkits before 5.0, whose own defaults are not known, all that a user writes counts, and
    so do all keys of inference, which without them does what evaluation does.
    """
    counts = toolkits.is_old(toolkit)
    return dotted_keys.nested(
        {
            key: value
            for key, value in sorted(dotted_keys.leaves(keys))
            if is_relevant(prefix + key)
            and (counts or key.startswith("inference.") or value != _defaults().get(prefix + key))
        }
    )


def of_task(values: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return those values, by dotted name, that the spec of a task may hold."""
    found = toolkits.keys_of_task(dotted_keys.nested(values), task)
    native = native_keys.keys_of_task(found.get("native", {}), task)
    return dict(dotted_keys.leaves({**found, "native": native}))


def current_values(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of all keys that change no result, some nested `keys` over the defaults."""
    chosen = dict(dotted_keys.leaves(keys))
    return {
        key: chosen.get(key, value) for key, value in _defaults().items() if not is_relevant(key)
    }


def settings(spec: "DictConfig") -> dict[str, Any]:
    """Return what results depend on and is not as TAO has it by default, by dotted name.

    `spec` is a user's keys laid over the defaults, as OmegaConf has it.
    """
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(spec, throw_on_missing=False)
    return {
        key: value
        for key, value in dotted_keys.leaves(plain)
        if is_relevant(key) and value != _defaults()[key]
    }


@cache
def _defaults() -> dict[str, Any]:
    return dict(dotted_keys.leaves(asdict(Spec())))


def digest(file: Path, task: str, toolkit: str) -> str:
    """Return the SHA-256 of what results depend on in the spec file of a task."""
    left_out = tuple(toolkits.name_in(toolkit, task, key) for key in irrelevant_keys())
    values = [
        (key, value)
        for key, value in sorted(_read(file).items())
        # A file has the section `native` whole or, where all is as by default, not at all.
        if not _is_one_of(key, left_out) and not (_is_native(key) and value == _defaults().get(key))
    ]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _is_native(key: str) -> bool:
    return key.startswith("native.")


def with_current_values(
    file: Path, copy: Path, values: Mapping[str, Any], task: str, toolkit: str
) -> Path:
    """Return the spec to run a task with: `file`, or a `copy` with other values of some keys.

    `values` are by dotted name as in 7.3; those of keys that the toolkit does not have are ignored.
    """
    content, changed = _read(file), {}
    for key, value in of_task(values, task).items():
        name = toolkits.name_in(toolkit, task, key)
        known = name in content or _is_native(key)
        if known and content.get(name, _defaults()[key]) != value:
            changed[name] = value
    if not changed:
        copy.unlink(missing_ok=True)
        return file
    write_text(copy, yaml.safe_dump(dotted_keys.nested(content | changed), sort_keys=False))
    return copy


def _read(file: Path) -> dict[str, Any]:
    return dict(dotted_keys.leaves(read_yaml(file)))
