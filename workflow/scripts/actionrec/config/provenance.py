"""The settings that an experiment's results depend on: written down, and compared in a later plan.

Snakemake sees that something is to be made again when the configuration has changed; which key did
it, this module says.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from actionrec.config import queries
from actionrec.utils.small_files import DamagedFile, read_yaml

# What decides how, when or where something is made, and nothing in what an experiment leaves.
CHANGES_NO_RESULT = {
    "dataset": {"name", "classes", "keep_archives"},  # an experiment has its own classes
    "frames": {"tolerate", "encoder", "chunk"},
    "splits": {"numbers", "links"},
    "tao": {"container", "docker"},
}


def settings(config: Mapping[str, Any], experiment: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that the results of an experiment depend on, by the dotted keys of `config`.

    `spec` are the keys of its TAO spec that results depend on, the native engine's own among them.
    """
    sections = ["dataset", "frames", "splits", "tao"]
    if queries.needs_flow(config, experiment):
        sections.append("flow")
    found = {
        f"{section}.{key}": value
        for section in sections
        for key, value in config[section].items()
        if key not in CHANGES_NO_RESULT.get(section, ())
    }
    found["classes"] = list(queries.classes(config, experiment))
    if pretrained := queries.pretrained(config, experiment):
        found["pretrained"] = pretrained
    for key, value in spec.items():
        found[key if key.startswith("native.") else f"spec.{key}"] = value
    return dict(sorted(found.items()))


def changes(record: Path, now: Mapping[str, Any]) -> list[str]:
    """Return in words how settings differ from those in `record`; nothing if there is no record."""
    try:
        before = read_yaml(record)
    except (FileNotFoundError, DamagedFile):
        return []
    if not isinstance(before, dict):
        return []
    return [
        f"{key}: {_setting(before, key)} -> {_setting(now, key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def _setting(values: Mapping[str, Any], key: str) -> str:
    return in_words(values[key]) if key in values else "(default)"


def in_words(value: Any) -> str:
    """Return a setting as one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("...\n").strip()
