"""Check a configuration, and return it with every default filled in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pydantic import ValidationError

from actionrec.config import addresses, checks, messages, queries, sweeps
from actionrec.config.files import ConfigFiles
from actionrec.config.models import Config
from actionrec.config.models.splits import default_method
from actionrec.config.models.tao import default_encrypt
from actionrec.config.yaml_traps import Key
from actionrec.errors import InputError
from actionrec.spec.errors import SpecError
from actionrec.spec.render import check_overrides
from actionrec.spec.schema import type_of

KINDS = {str: "string_type", int: "int_type", float: "float_type", bool: "bool_type"}


def checked(
    config: Mapping[str, Any], files: Sequence[Path | str]
) -> tuple[dict[str, Any], dict[str, DictConfig]]:
    """Return a configuration complete, and the TAO spec of each experiment.

    `config` is what Snakemake merged from `files`. In what is returned each key has a value, sweeps
    are expanded to plain experiments, and the secrets of addresses are hidden. A spec holds TAO's
    defaults with the experiment's keys laid over them. Raises `InputError` for what no run could
    finish with: unknown or missing keys, wrong types, classes and experiments that do not exist,
    keys that contradict each other.
    """
    source = ConfigFiles.read(files)
    complete = addresses.hide(_filled(config, source))
    checks.check_budgets(complete, source)
    origins = _origins(complete["experiments"])
    complete["experiments"] = _plain_experiments(complete, source)
    checks.check(complete, source)
    specs = {
        name: _checked_spec(complete, name, origins[name], source)
        for name in complete["experiments"]
    }
    checks.check_specs(complete, specs, source)
    return complete, specs


def _filled(config: Mapping[str, Any], source: ConfigFiles) -> dict[str, Any]:
    """Return the configuration with all defaults, also those that depend on other keys."""
    try:
        model = Config.model_validate(config)
    except ValidationError as error:
        raise messages.explained(error, source) from None
    if model.splits.method is None:
        model.splits.method = default_method(model.dataset)
    if model.tao.encrypt is None:
        model.tao.encrypt = default_encrypt(model.tao.toolkit)
    return model.model_dump()


def _origins(experiments: Mapping[str, Any]) -> dict[str, str]:
    """Return the name under which the user wrote each experiment: its own, or its sweep's."""
    swept = {
        member: sweep for sweep, names in sweeps.members(experiments).items() for member in names
    }
    return {name: name for name in experiments} | swept


def _plain_experiments(config: Mapping[str, Any], source: ConfigFiles) -> dict[str, Any]:
    """Return the experiments with their sweeps expanded and their classes filled in."""
    return {
        name: {
            **{key: value for key, value in experiment.items() if key not in sweeps.OWN},
            "classes": experiment["classes"] or config["dataset"]["classes"],
        }
        for name, experiment in sweeps.expand(config["experiments"], source).items()
    }


def _checked_spec(
    config: Mapping[str, Any], name: str, origin: str, source: ConfigFiles
) -> DictConfig:
    """Return an experiment's spec; name the place in the configuration of a key that is wrong."""
    own, native = queries.overrides(config, name), queries.native(config, name)
    try:
        return check_overrides(own, str(source), native, config["tao"]["toolkit"])
    except SpecError as error:
        *places, shared = _places(error.key, origin)
        path = next((place for place in places if source.find(place)), shared)
        raise InputError(
            error.problem,
            where=source.where(*path) + ("" if path[0] == "experiments" else f" (of {name})"),
            found=error.found,
            allowed=error.allowed,
            fix=_spelling(path, error, source) or error.fix or messages.dry_run(),
        ) from None


def _spelling(path: Sequence[Key], error: SpecError, source: ConfigFiles) -> str | None:
    """Return what to write where YAML made another type of a value than the key has."""
    place, kind = source.find(path), KINDS.get(type_of(error.key))
    if place is None or kind is None:
        return None
    allowed = error.allowed  # a text if it names types: any text will do
    options = list(map(str, allowed)) if isinstance(allowed, list) else None
    return messages.spelling(path, place.read(), kind, source, options)


def _places(key: str, experiment: str) -> list[tuple[Key, ...]]:
    """Return where a spec's key may stand in the configuration; the first counts most."""
    parts = key.split(".") if key else []
    section = parts if parts[:1] == ["native"] else ["spec", *parts]
    return [
        ("experiments", experiment, "sweep", key),
        ("experiments", experiment, *section),
        tuple(section),
    ]
