"""Check the configuration beyond its types, and answer the questions that rules ask of it.

Used by the Snakefile at every start: standard library and jsonschema only.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from actionrec import sweeps
from actionrec.errors import InputError

DRY_RUN = "correct it, then look at the plan: snakemake -n"


def check(config: Mapping[str, Any], schema: Path, source: str) -> None:
    """Refuse a configuration that no run could finish with.

    `source` names the configuration file in messages. Raises `InputError` for unknown or
    missing keys, wrong types, classes and experiments that do not exist.
    """
    _check_schema(config, schema, source)
    config = {**config, "experiments": sweeps.expand(config["experiments"], source)}
    _check_schema(config, schema, source)
    _check_source(config["dataset"], source)
    _check_splits(config, source)
    _check_flow(config.get("flow") or {}, source)
    for name, experiment in config["experiments"].items():
        _check_experiment(name, experiment, config, f"{source}, experiments.{name}")
    _check_cycles(config["experiments"], source)


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
    needed = {"demo": (), "archives": ("archives",), "folder": ("path",)}[dataset["source"]]
    for key in needed:
        if not dataset.get(key):
            raise InputError(
                f"A dataset with `source: {dataset['source']}` needs dataset.{key}.",
                where=f"{source}, dataset",
                fix="add it; config/README.md explains every key",
            )
    if (dataset["source"] == "demo") != (dataset["name"] == "demo"):
        raise InputError(
            "The name `demo` belongs to the generated demo set, and to no other.",
            where=f"{source}, dataset.name",
            found=f"name: {dataset['name']}, source: {dataset['source']}",
            fix="give your dataset a name of its own",
        )


def _check_splits(config: Mapping[str, Any], source: str) -> None:
    if config["dataset"]["source"] == "archives" and splits(config)["method"] == "official":
        if "splits" in config["dataset"]["archives"]:
            return
        problem = "The official splits need the archive of split files."
    elif config["dataset"]["source"] == "folder" and splits(config)["method"] == "official":
        problem = "A folder of videos has no official split files."
    else:
        return
    raise InputError(
        problem,
        where=f"{source}, splits.method",
        found="official",
        allowed=["fraction"],
        fix="set splits.method: fraction, or add dataset.archives.splits",
    )


def _check_flow(flow: Mapping[str, Any], source: str) -> None:
    if flow.get("method") == "flo" and not flow.get("path"):
        raise InputError(
            "Flow that is read from .flo files needs flow.path.",
            where=f"{source}, flow",
            fix="add flow.path, the folder of <class>/<video>/*.flo, or set flow.method to dis",
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
    base = base_experiment(config, name)
    if base is not None and base not in config["experiments"]:
        raise InputError(
            "The pretrained weights are to come from an experiment that does not exist; "
            "a sweep's experiments have names of their own.",
            where=f"{where}.pretrained.experiment",
            found=base,
            allowed=[other for other in config["experiments"] if other != name],
            fix=DRY_RUN,
        )


def _check_cycles(experiments: Mapping[str, Any], source: str) -> None:
    for name in experiments:
        chain = [name]
        while (base := _pretrained(experiments[chain[-1]]).get("experiment")) is not None:
            if base in chain:
                raise InputError(
                    "Experiments start from each other's weights in a circle.",
                    where=f"{source}, experiments",
                    found=" <- ".join([*chain, base]),
                    fix="let one of them start from `pretrained: null`",
                )
            chain.append(base)


def _pretrained(experiment: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (experiment or {}).get("pretrained") or {}


def classes(config: Mapping[str, Any], experiment: str) -> tuple[str, ...]:
    """Return an experiment's classes; their order gives the label ids."""
    own = (config["experiments"][experiment] or {}).get("classes")
    return tuple(own or config["dataset"]["classes"])


def base_experiment(config: Mapping[str, Any], experiment: str) -> str | None:
    """Return the experiment whose model this one starts from, if there is one."""
    return _pretrained(config["experiments"][experiment]).get("experiment")


def pretrained(config: Mapping[str, Any], experiment: str) -> Mapping[str, Any]:
    """Return where an experiment's initial weights come from; empty for random weights."""
    return _pretrained(config["experiments"][experiment])


def pretrained_classes(config: Mapping[str, Any], experiment: str) -> int | None:
    """Return how many classes the experiment's initial weights tell apart, if that is known."""
    base = base_experiment(config, experiment)
    return None if base is None else len(classes(config, base))


def splits(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the split settings with their defaults."""
    chosen = dict(config.get("splits") or {})
    official = config["dataset"]["source"] != "folder"
    chosen.setdefault("method", "official" if official else "fraction")
    return {
        "numbers": [1],
        "test_fraction": 0.3,
        "validation": 0.2,
        "seed": 1234,
        "links": "symlink",
        **chosen,
    }


def overrides(config: Mapping[str, Any], experiment: str) -> dict[str, Any]:
    """Return the TAO spec keys of one experiment: the shared ones, then its own."""
    own = (config["experiments"][experiment] or {}).get("spec") or {}
    return merged(config.get("spec") or {}, own)


def needs_flow(config: Mapping[str, Any], experiment: str) -> bool:
    """Tell whether an experiment's network sees optical flow, alone or beside the frames."""
    model = overrides(config, experiment).get("model") or {}
    return model.get("model_type") in ("of", "joint")


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it, mapping by mapping; lists are replaced whole."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def alternatives(names: Sequence[str]) -> str:
    """Return a regular expression that matches exactly these names, for wildcards."""
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


def runs(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield each experiment with each split number."""
    for experiment in config["experiments"]:
        for number in splits(config)["numbers"]:
            yield experiment, number
