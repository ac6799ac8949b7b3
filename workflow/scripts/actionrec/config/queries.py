"""Answer the questions that rules ask of a configuration."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def archives(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the dataset's archives by role, videos or splits: file, urls and sha256 or None.

    What the user has already, `path`, takes the place of the addresses. A folder of split files
    needs no archive and is told as `folder`.
    """
    return {
        role: _archive(role, entry)
        for role, entry in (config["dataset"].get("archives") or {}).items()
    }


def archive_of_file(config: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return the archive with this file name, as `archives` has it."""
    return next(found for found in archives(config).values() if found.get("file") == file)


def _archive(role: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    path = entry.get("path")
    if path and Path(path).expanduser().is_dir():
        return {"folder": path, "sha256": None}
    suffix = Path(path).suffix if path else ""
    return {
        "file": entry.get("file") or f"{role}{suffix if suffix[1:].isalnum() else ''}",
        "urls": [path] if path else entry["urls"],
        "sha256": entry.get("sha256"),
    }


def _input_size(config: Mapping[str, Any], experiment: str) -> tuple[int, int]:
    model = overrides(config, experiment).get("model") or {}
    return model.get("input_width", 224), model.get("input_height", 224)


def _crops(config: Mapping[str, Any], experiment: str) -> bool:
    dataset = overrides(config, experiment).get("dataset") or {}
    augmentation = dataset.get("augmentation_config") or {}
    training = augmentation.get("train_crop_type", "random_crop") != "no_crop"
    return training or augmentation.get("val_center_crop", False)


def frame_size(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the (width, height) that stored frames are resized to, or None to keep the videos'."""
    if config["frames"]["size"] == "source":
        return None
    return _input_size(config, next(iter(config["experiments"])))


def _is_native(config: Mapping[str, Any]) -> bool:
    return (config.get("tao") or {}).get("runner", "native") == "native"


def _model(config: Mapping[str, Any], experiment: str) -> dict[str, Any]:
    """Return the keys that tell one network from another, with TAO's defaults."""
    chosen = overrides(config, experiment).get("model")
    defaults = {"model_type": "rgb", "input_type": "2d", "backbone": "resnet_18"}
    return defaults | {key: chosen[key] for key in defaults if key in (chosen or ())}


def classes(config: Mapping[str, Any], experiment: str) -> tuple[str, ...]:
    """Return an experiment's classes; their order gives the label ids."""
    own = (config["experiments"][experiment] or {}).get("classes")
    return tuple(own or config["dataset"]["classes"])


def pretrained(config: Mapping[str, Any], experiment: str) -> dict[str, Mapping[str, str]]:
    """Return where an experiment's initial weights come from, by stream; empty for random weights.

    A stream is "rgb" or "of", alone or in a joint network, or "joint", which is the whole of one.
    """
    chosen = (config["experiments"][experiment] or {}).get("pretrained") or {}
    if not set(chosen) & {"rgb", "of"}:
        chosen = {_model(config, experiment)["model_type"]: chosen}
    return {stream: source for stream, source in chosen.items() if source}


def ngc_checksums(config: Mapping[str, Any]) -> dict[tuple[str, str], str | None]:
    """Return the SHA-256, if given, of each (model:version, file) that comes from NGC."""
    files: dict[tuple[str, str], str | None] = {}
    for experiment in config["experiments"]:
        for source in pretrained(config, experiment).values():
            if "ngc" in source:
                key = source["ngc"], source["file"]
                files[key] = source.get("sha256") or files.get(key)
    return files


def base_experiments(config: Mapping[str, Any], experiment: str) -> dict[str, str]:
    """Return the experiments whose models this one starts from, by stream."""
    sources = pretrained(config, experiment)
    return {stream: s["experiment"] for stream, s in sources.items() if "experiment" in s}


def pretrained_classes(config: Mapping[str, Any], experiment: str) -> dict[str, int | None]:
    """Return how many classes each stream's initial weights tell apart, or None if unknown."""
    bases = base_experiments(config, experiment)
    return {
        stream: len(classes(config, bases[stream])) if stream in bases else None
        for stream in pretrained(config, experiment)
    }


def splits(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the split settings with their defaults."""
    chosen = dict(config.get("splits") or {})
    dataset = config["dataset"]
    defaults = {"folder": "fraction", "shad": "fraction", "table": "given"}
    if dataset["source"] == "folder" and "splits" in archives(config):
        defaults = {}
    chosen.setdefault("method", defaults.get(dataset["source"], "official"))
    return {
        "numbers": [1],
        "test_fraction": 0.3,
        "validation": 0.2,
        "seed": 1234,
        "links": "symlink",
        **chosen,
    }


def lists(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the lists of a dataset of source table: {"": PATH}, or the one of each part."""
    path = config["dataset"]["path"]
    return dict(path) if isinstance(path, Mapping) else {"": path}


def overrides(config: Mapping[str, Any], experiment: str) -> dict[str, Any]:
    """Return the TAO spec keys of one experiment: the shared ones, then its own."""
    own = (config["experiments"][experiment] or {}).get("spec") or {}
    return merged(config.get("spec") or {}, own)


def native(config: Mapping[str, Any], experiment: str) -> dict[str, Any]:
    """Return the native engine's own settings of one experiment, as `overrides` does TAO's."""
    own = (config["experiments"][experiment] or {}).get("native") or {}
    return merged(config.get("native") or {}, own)


def needs_flow(config: Mapping[str, Any], experiment: str) -> bool:
    """Tell whether an experiment's network sees optical flow, alone or beside the frames."""
    return _model(config, experiment)["model_type"] in ("of", "joint")


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
