"""Turn experiments that hold a sweep into plain ones, one for each combination of its values."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from actionrec.config.files import ConfigFiles
from actionrec.errors import InputError

OWN = ("sweep", "budget")  # keys of a sweep that its experiments do not have


def expand(experiments: Mapping[str, Any], files: ConfigFiles | None = None) -> dict[str, Any]:
    """Return the experiments with each sweep replaced by its combinations, in their order.

    A sweep maps dotted spec keys to lists of values, {train.optim.lr: [0.001, 0.01]}, and the names
    hold the values, rgb_3d-lr_0.001. Plain experiments are returned as they are. `files` name the
    place in messages. Raises `InputError` for two experiments of one name.
    """
    files = files or ConfigFiles.read([])
    plain: dict[str, Any] = {}
    for name, experiment in experiments.items():
        for member, content in _combinations(name, experiment):
            if member in plain:
                raise InputError(
                    "Two experiments get the same name.",
                    where=files.where("experiments", name),
                    found=member,
                    fix="rename one of them, or take out a value that the sweep holds twice",
                )
            plain[member] = content
    return plain


def members(experiments: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names that each sweep expands to, by the sweep's own."""
    return {
        name: [member for member, _ in _combinations(name, experiment)]
        for name, experiment in experiments.items()
        if experiment and experiment.get("sweep")
    }


def _combinations(
    name: str, experiment: Mapping[str, Any] | None
) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    if not experiment or not experiment.get("sweep"):
        yield name, experiment
        return
    sweep = experiment["sweep"]
    short = _short_names(list(sweep))
    for values in product(*sweep.values()):
        content = {key: value for key, value in experiment.items() if key not in OWN}
        parts = [name]
        for key, value in zip(sweep, values, strict=True):
            path = key.split(".")
            content = _with_value(content, path if path[0] == "native" else ["spec", *path], value)
            parts.append(f"{short[key]}_{_readable(value)}")
        yield "-".join(parts), content


def _with_value(mapping: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """Return a copy of nested mappings with `value` at `path`."""
    if len(path) == 1:
        return {**mapping, path[0]: value}
    below = mapping.get(path[0])
    nested = below if isinstance(below, Mapping) else {}
    return {**mapping, path[0]: _with_value(nested, path[1:], value)}


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return for each dotted key as few of its last parts as make it unique."""
    short = {}
    for key in keys:
        parts = key.split(".")
        tails = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        rivals = [f".{other}" for other in keys if other != key]
        short[key] = next(
            (t for t in tails if not any(rival.endswith(f".{t}") for rival in rivals)), key
        )
    return short


def _readable(value: Any) -> str:
    """Return a value as part of a name: letters, digits, `.`, `_` and `-`."""
    if isinstance(value, list):
        return "_".join(map(_readable, value))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)
