"""Answer the questions that rules ask of a configuration.

It is the one that `load.checked` returns: every key is there, with the user's value or the default.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from actionrec.config.addresses import is_address
from actionrec.spec import toolkits
from actionrec.spec.dotted_keys import value_at
from actionrec.spec.schema import default_of

Config = Mapping[str, Any]


def archives(config: Config) -> dict[str, dict[str, Any]]:
    """Return the dataset's archives by role, videos or splits: file, urls and sha256 or None.

    What the user has already, `path`, takes the place of the addresses. A folder of split files
    needs no archive and is named as `folder`.
    """
    return {
        role: archive(role, entry) for role, entry in config["dataset"]["archives"].items() if entry
    }


def archive_of_file(config: Config, file: str) -> dict[str, Any]:
    """Return the archive with this file name, as `archives` has it."""
    return next(found for found in archives(config).values() if found.get("file") == file)


def archive(role: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return one archive as `archives` has it; `entry` is what the configuration says of it."""
    path = entry["path"]
    if path and Path(path).expanduser().is_dir():
        return {"folder": path, "sha256": None}
    suffix = Path(path).suffix if path else ""
    return {
        "file": entry["file"] or f"{role}{suffix if suffix[1:].isalnum() else ''}",
        "urls": [path] if path else entry["urls"],
        "sha256": entry["sha256"],
    }


def spec_value(config: Config, experiment: str, key: str) -> Any:
    """Return the value of a spec key in an experiment by its dotted name, TAO's if it has none."""
    return value_at(overrides(config, experiment), key, default_of(key))


def frame_format(config: Config) -> str:
    """Return what frames are stored as: the suffix of images, or "video" if they stay in it."""
    frames = config["frames"]
    return "video" if frames["store"] == "video" else frames["format"]


def frame_size(config: Config) -> tuple[int, int] | None:
    """Return the (width, height) that stored frames are resized to, or None to keep the videos'."""
    if config["frames"]["size"] == "source":
        return None
    any_experiment = next(iter(config["experiments"]))
    width, height = (
        spec_value(config, any_experiment, f"model.input_{side}") for side in ("width", "height")
    )
    return width, height


def classes(config: Config, experiment: str) -> tuple[str, ...]:
    """Return an experiment's classes; their order gives the label ids."""
    return tuple(config["experiments"][experiment]["classes"])


def other_classes(config: Config, experiment: str) -> list[str]:
    """Return the dataset's classes that an experiment leaves out."""
    own = classes(config, experiment)
    return [cls for cls in config["dataset"]["classes"] if cls not in own]


def predicting(config: Config) -> list[str]:
    """Return the experiments that predict new videos."""
    wanted = config["predict"]["experiments"]
    return [name for name in config["experiments"] if wanted is None or name in wanted]


def export_forms(config: Config) -> list[str]:
    """Return what is in the folder export/ besides the model; old toolkits make no ONNX of it."""
    if toolkits.exported_file(config["tao"]["toolkit"]) != "model.onnx":
        return []
    export = config["export"]
    wanted = {
        "model.json": True,
        "verification.json": export["verify"],
        "deepstream": export["deepstream"],
        "triton": export["triton"],
        "tensorrt": export["tensorrt"],
    }
    return [form for form, is_wanted in wanted.items() if is_wanted]


def annotated_folder(config: Config, run: str) -> str | None:
    """Return the folder of a run for new videos with their predictions drawn on, if wanted."""
    return f"{run}/predicted/annotated" if config["predict"]["annotate"] else None


def flow(config: Config, experiment: str) -> dict[str, str] | None:
    """Return how an experiment's optical flow is made, if its network sees any."""
    if not needs_flow(config, experiment):
        return None
    return {key: config["flow"][key] for key in ("method", "preset", "mapping")}


def pretrained(config: Config, experiment: str) -> dict[str, Mapping[str, str]]:
    """Return where an experiment's initial weights come from, by stream; empty for random weights.

    A stream is "rgb" or "of", alone or in a joint network, or "joint", which is the whole of one.
    """
    chosen = config["experiments"][experiment]["pretrained"] or {}
    if not set(chosen) & {"rgb", "of"}:
        chosen = {spec_value(config, experiment, "model.model_type"): chosen}
    return {stream: source for stream, source in chosen.items() if source}


def ngc_checksums(config: Config) -> dict[tuple[str, str], str | None]:
    """Return the SHA-256, if given, of each (model:version, file) that comes from NGC."""
    files: dict[tuple[str, str], str | None] = {}
    for experiment in config["experiments"]:
        for source in pretrained(config, experiment).values():
            if "ngc" in source:
                key = source["ngc"], source["file"]
                files[key] = source["sha256"] or files.get(key)
    return files


def base_experiments(config: Config, experiment: str) -> dict[str, str]:
    """Return the experiments whose models this one starts from, by stream."""
    sources = pretrained(config, experiment)
    return {stream: s["experiment"] for stream, s in sources.items() if "experiment" in s}


def source_experiments(config: Config) -> list[str]:
    """Return the experiments whose models others start from."""
    found = {
        base for exp in config["experiments"] for base in base_experiments(config, exp).values()
    }
    return sorted(found)


def flips(config: Config) -> dict[str, float]:
    """Return how probable it is that each experiment mirrors a training clip."""
    key = "dataset.augmentation_config.horizontal_flip_prob"
    return {exp: spec_value(config, exp, key) for exp in config["experiments"]}


def pretrained_classes(config: Config, experiment: str) -> dict[str, int | None]:
    """Return how many classes each stream's initial weights tell apart, or None if unknown."""
    bases = base_experiments(config, experiment)
    return {
        stream: len(classes(config, bases[stream])) if stream in bases else None
        for stream in pretrained(config, experiment)
    }


def lists(config: Config) -> dict[str, str]:
    """Return the lists of a dataset of source table: {"": PATH}, or the one of each part."""
    path = config["dataset"]["path"]
    if isinstance(path, Mapping):
        return {part: file for part, file in path.items() if file}
    return {"": path}


def fetched_lists(config: Config) -> dict[str, str]:
    """Return file name -> address of the lists, and of their labels, that are not on this machine.

    They are named after their part of a split, or `list`, and have the original's suffix.
    """
    named = {part or "list": path for part, path in lists(config).items()}
    named |= {"labels": config["dataset"]["labels"]}
    return {_local_name(name, path): path for name, path in named.items() if is_address(path)}


def local_lists(config: Config, folder: str) -> dict[str, str]:
    """Return where the lists are once they are fetched: as `lists`, or in `folder`."""
    return {
        part: f"{folder}/{_local_name(part or 'list', path)}" if is_address(path) else path
        for part, path in lists(config).items()
    }


def local_labels(config: Config, folder: str) -> str | None:
    """Return where the labels of a list are once they are fetched."""
    path = config["dataset"]["labels"]
    return f"{folder}/{_local_name('labels', path)}" if is_address(path) else path


def local_videos(config: Config, folder: str) -> str | None:
    """Return the folder of a list's videos: `folder`, once they are fetched there from a store."""
    path = config["dataset"]["videos"]
    return folder if is_address(path) else path


def _local_name(name: str, address: str) -> str:
    suffix = PurePosixPath(urlsplit(address).path).suffix
    return name + (suffix if suffix[1:].isalnum() else ".txt")


def lists_segments(dataset: Config) -> bool:
    """Tell whether a dataset's tables name segments of videos, which stay where they are."""
    return dataset["source"] in ("table", "shad")


def videos_folder(config: Config) -> str | None:
    """Return the folder of <class>/<video> as the user knows it; None where a list has the paths.

    It is for messages: the rules find the videos by their tables.
    """
    dataset = config["dataset"]
    if lists_segments(dataset):
        return None
    path = dataset["path"] if dataset["source"] == "folder" else None
    if path and not is_address(path):
        return path
    return f"resources/{dataset['name']}/videos"


def overrides(config: Config, experiment: str) -> dict[str, Any]:
    """Return the TAO spec keys of one experiment: the shared ones, then its own."""
    return merged(config["spec"], config["experiments"][experiment]["spec"])


def native(config: Config, experiment: str) -> dict[str, Any]:
    """Return the native engine's own settings of one experiment, as `overrides` does TAO's."""
    return merged(config["native"], config["experiments"][experiment]["native"])


def needs_flow(config: Config, experiment: str) -> bool:
    """Tell whether an experiment's network sees optical flow, alone or next to the frames."""
    return spec_value(config, experiment, "model.model_type") in ("of", "joint")


def gpus(config: Config, experiment: str, task: str) -> int:
    """Return how many GPUs a task of an experiment uses on all its machines together."""
    return _gpus_of_one(config, experiment, task) * machines(config, experiment, task)


def _gpus_of_one(config: Config, experiment: str, task: str) -> int:
    """Return a task's GPUs of one machine: the larger of its two keys, as in TAO."""
    count = spec_value(config, experiment, f"{task}.num_gpus")
    return max(count, len(spec_value(config, experiment, f"{task}.gpu_ids")))


def machines(config: Config, experiment: str, task: str) -> int:
    """Return on how many machines a task of an experiment runs."""
    return int(spec_value(config, experiment, f"{task}.num_nodes"))


def job_resource(config: Config, experiment: str, task: str, name: str) -> int | str | None:
    """Return a resource that the job of a task asks for, by Snakemake's name; None: it does not.

    Several machines are for Slurm alone, and the names are those of its plugin.
    """
    number = machines(config, experiment, task)
    if number == 1:
        return {"gpu": gpus(config, experiment, task), "nodes": 1}.get(name)
    several: dict[str, int | str] = {
        "nodes": number,
        # GPUs of each machine. Of --gpus=4 one machine may get three, and the other one.
        "gres": f"gpu:{_gpus_of_one(config, experiment, task)}",
        # The job itself runs on the first machine, in no step: what it starts may use them all.
        "mpi": "srun",
        "tasks": number,
        "tasks_per_gpu": 0,
    }
    return several.get(name)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it, mapping by mapping; lists are replaced whole."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def alternatives(names: Sequence[str]) -> str:
    """Return a regular expression that matches exactly these names, for wildcards.

    Snakemake takes an empty one for no constraint, so that of no name matches nothing.
    """
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or "(?!)"


def runs(config: Config) -> Iterator[tuple[str, int]]:
    """Yield each experiment with each split number."""
    for experiment in config["experiments"]:
        for number in config["splits"]["numbers"]:
            yield experiment, number
