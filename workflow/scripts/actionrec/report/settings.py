"""How the settings of experiments differ, and which experiments differ in the seed alone."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from actionrec.config.provenance import in_words
from actionrec.utils.small_files import read_yaml

SEED = "spec.train.seed"
Settings = Mapping[str, Any]


def read_settings(experiments: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the recorded settings of experiments; none for an experiment without a record."""
    found = {}
    for name in names:
        file = experiments / name / "settings.yaml"
        content = read_yaml(file) if file.exists() else None
        found[name] = content if isinstance(content, dict) else {}
    return found


def differences(settings: Mapping[str, Settings]) -> dict[str, dict[str, str]]:
    """Return the keys that have not the same value in all experiments, with each one's value.

    A key that an experiment does not set has its default, which is "".
    """
    keys = sorted({key for own in settings.values() for key in own})
    texts = {
        key: {name: in_words(own[key]) if key in own else "" for name, own in settings.items()}
        for key in keys
    }
    return {key: values for key, values in texts.items() if len(set(values.values())) > 1}


def equal_but_seed(settings: Mapping[str, Settings]) -> list[list[str]]:
    """Return the groups of experiments, of two or more, whose settings differ in the seed alone."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, own in settings.items():
        if own:
            rest = {key: value for key, value in own.items() if key != SEED}
            groups[yaml.safe_dump(rest)].append(name)
    return [group for group in groups.values() if len(group) > 1]
