"""Check what the types of a configuration's keys cannot say: keys that depend on each other."""

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from actionrec import runners
from actionrec.config import addresses, pretrained_checks, queries
from actionrec.config.files import ConfigFiles
from actionrec.config.messages import ADD_KEY, dry_run
from actionrec.config.queries import Config
from actionrec.config.yaml_traps import Key
from actionrec.errors import InputError
from actionrec.spec import toolkits
from actionrec.spec.toolkits import IMAGES

# The place of a key, its value, and the schemes of the addresses that it takes.
Address = tuple[tuple[Key, ...], str | None, Sequence[str]]
# Folders of resources/ that belong to no dataset.
RESERVED_NAMES = ("images", "pretrained")


def check(config: Config, files: ConfigFiles) -> None:
    """Refuse a configuration whose keys contradict each other, but for its experiments' specs.

    `config` is complete, its sweeps are expanded; `files` name the places in messages.
    """
    _check_source(config["dataset"], files)
    _check_addresses(config, files)
    _check_name(config["dataset"], files)
    _check_archives(config["dataset"], files)
    _check_class_names(config["dataset"]["classes"], files)
    _check_splits(config, files)
    _check_image(config["tao"], files)
    _check_toolkit(config["tao"], files)
    _check_store(config, files)
    _check_flow(config, files)
    for name in config["experiments"]:
        _check_native(config, name, files)
        _check_machines(config, name, files)
        _check_classes(config, name, files)


def check_specs(config: Config, specs: Mapping[str, DictConfig], files: ConfigFiles) -> None:
    """Refuse experiments whose specs fit neither each other nor the rest of the configuration."""
    _check_frames(config, specs, files)
    pretrained_checks.check(config, specs, files)


def _check_source(dataset: Config, files: ConfigFiles) -> None:
    needed = {"demo": (), "archives": ()}.get(dataset["source"], ("path",))
    for key in needed:
        if not dataset[key]:
            raise InputError(
                f"A dataset with `source: {dataset['source']}` needs dataset.{key}.",
                where=files.where("dataset", "source"),
                fix=ADD_KEY,
            )
    if isinstance(dataset["path"], Mapping) and dataset["source"] != "table":
        raise InputError(
            "Only a dataset with `source: table` has a path for each part.",
            where=files.where("dataset", "path"),
            found=json.dumps(dataset["path"]),
            fix="name one folder",
        )
    if isinstance(dataset["path"], Mapping) and not any(dataset["path"].values()):
        raise InputError(
            "The list of no part is named.",
            where=files.where("dataset", "path"),
            allowed=list(dataset["path"]),
            fix="name a list, or one for each part",
        )


def _check_addresses(config: Config, files: ConfigFiles) -> None:
    """Refuse addresses where only a path will do, and those that no store can have."""
    folders: set[tuple[Key, ...]] = {("dataset", "videos"), ("tracking", "publish")}
    if config["dataset"]["source"] == "folder":
        folders.add(("dataset", "path"))
    for place, address, allowed in _addresses(config):
        if address:
            addresses.check(address, files.where(*place), allowed, folder=place in folders)
    _check_videos_of_lists(config["dataset"], files)


def _addresses(config: Config) -> Iterator[Address]:
    """Yield what may be an address, by the keys of the configuration."""
    yield from _addresses_of_dataset(config["dataset"])
    yield ("flow", "path"), config["flow"]["path"], ()
    yield ("predict", "videos"), _stored_only(config["predict"]["videos"]), ()
    yield ("tracking", "publish"), config["tracking"]["publish"], (addresses.STORE,)
    for name in config["experiments"]:
        key = ("experiments", name, "pretrained")
        for source in queries.pretrained(config, name).values():
            yield (*key, "path"), source.get("path"), (addresses.STORE,)
            yield (*key, "url"), _stored_only(source.get("url")), addresses.WEB


def _addresses_of_dataset(dataset: Config) -> Iterator[Address]:
    store, web = addresses.STORE, addresses.WEB
    path = dataset["path"]
    of_source = {"folder": (store,), "table": (store, *web)}.get(dataset["source"], ())
    for part, address in (path if isinstance(path, Mapping) else {None: path}).items():
        yield ("dataset", "path", *([part] if part else [])), address, of_source
    yield ("dataset", "labels"), dataset["labels"], (store, *web)
    yield ("dataset", "videos"), dataset["videos"], (store,)
    for role, entry in dataset["archives"].items():
        if entry:
            key = ("dataset", "archives", role)
            yield (*key, "path"), entry["path"], (store,)
            for index, url in enumerate(entry["urls"] or ()):
                yield (*key, "urls", index), _stored_only(url), (*web, "file")


def _stored_only(path: str | None) -> str | None:
    """Return a path if it is in a store; what else an address may be there, others know."""
    return path if addresses.is_stored(path) else None


def _check_videos_of_lists(dataset: Config, files: ConfigFiles) -> None:
    fetched = dataset["source"] == "table" and any(
        map(addresses.is_address, queries.lists({"dataset": dataset}).values())
    )
    if fetched and not dataset["videos"]:
        raise InputError(
            "A list that is fetched has no videos next to it.",
            where=files.where("dataset", "videos"),
            found="no dataset.videos",
            allowed="a folder on this machine, s3://bucket/prefix",
            fix="name what the paths in the list are relative to in dataset.videos",
        )


def _check_name(dataset: Config, files: ConfigFiles) -> None:
    where = files.where("dataset", "name")
    if (dataset["source"] == "demo") != (dataset["name"] == "demo"):
        raise InputError(
            "The name `demo` belongs to the generated demo set, and to no other.",
            where=where,
            found=f"name: {dataset['name']}, source: {dataset['source']}",
            fix="give your dataset a name of its own",
        )
    if dataset["name"] in RESERVED_NAMES:
        raise InputError(
            f"resources/{dataset['name']} is a folder that all datasets share.",
            where=where,
            found=dataset["name"],
            fix="give your dataset another name",
        )


def _check_archives(dataset: Config, files: ConfigFiles) -> None:
    archives = dataset["archives"]
    if dataset["source"] == "archives" and not archives["videos"]:
        raise InputError(
            "A dataset with `source: archives` needs dataset.archives.videos.",
            where=files.where("dataset", "archives", "videos"),
            fix=ADD_KEY,
        )
    for role, entry in archives.items():
        if entry:
            _check_archive(dataset["name"], role, entry, files)
    if archives["videos"] and _is_folder(archives["videos"]["path"]):
        raise InputError(
            "dataset.archives.videos.path is a folder, not an archive.",
            where=files.where("dataset", "archives", "videos", "path"),
            found=archives["videos"]["path"],
            fix="set dataset.source: folder, and dataset.path to what holds <class>/<video>",
        )


def _is_folder(path: str | None) -> bool:
    return path is not None and Path(path).expanduser().is_dir()


def _check_archive(dataset: str, role: str, entry: Config, files: ConfigFiles) -> None:
    missing = [key for key in ("file", "urls") if not entry[key]]
    if missing and not entry["path"]:
        raise InputError(
            f"An archive needs `file` and `urls`, or `path`: it has no `{missing[0]}`.",
            where=files.where("dataset", "archives", role),
            found=json.dumps({key: value for key, value in entry.items() if value}),
            allowed=list(entry),
            fix=ADD_KEY,
        )
    found = queries.archive(role, entry)
    own = Path("resources", dataset, "archives", found.get("file", ""))
    if entry["path"] and Path(entry["path"]).expanduser().absolute() == own.absolute():
        raise InputError(
            "An archive is named by the path where the workflow puts it.",
            where=files.where("dataset", "archives", role, "path"),
            found=entry["path"],
            fix="leave `path` out: a file that is there is used; or move the file elsewhere",
        )


def _check_class_names(names: list[str], files: ConfigFiles) -> None:
    """Refuse classes that a reader, or another file system, takes for one."""
    first: dict[str, str] = {}
    for index, name in enumerate(names):
        alike = first.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if alike is not name:
            raise InputError(
                "Two classes differ in capitals or in how accents are stored, and in nothing else.",
                where=files.where("dataset", "classes", index),
                found=f"{alike!r} and {name!r}",
                fix="rename the folder of one of them, and correct dataset.classes",
            )


def _check_splits(config: Config, files: ConfigFiles) -> None:
    if config["splits"]["by"] == "group" and config["dataset"]["source"] != "table":
        raise InputError(
            "Only a table says which group a video belongs to.",
            where=files.where("splits", "by"),
            found=f"group, with dataset.source: {config['dataset']['source']}",
            allowed="source_video, group (of a table with a column group)",
            fix="list the videos in a table, or give the pattern of a name in dataset.source_video",
        )
    if problem := _split_problem(config["dataset"], config["splits"]):
        method, numbers = config["splits"]["method"], config["splits"]["numbers"]
        raise InputError(
            problem,
            where=files.where("splits", "method"),
            found=f"method: {method}, numbers: {numbers}",
            allowed="fraction, given (of a table), official (with archives.splits)",
            fix="set splits.method: fraction, or add dataset.archives.splits",
        )


def _split_problem(dataset: Config, splits: Config) -> str | None:
    """Return why the dataset cannot be split as the configuration says, None if it can."""
    source = dataset["source"]
    if splits["method"] == "given":
        if source != "table":
            return "Only a table gives a split of its own."
        return None if splits["numbers"] == [1] else "A table gives one split, number 1."
    if splits["method"] == "fraction" or source == "demo":
        return None
    if queries.lists_segments(dataset):
        name = {"table": "A table", "shad": "SHAD"}[source]
        return f"{name} has no official split files."
    return None if dataset["archives"]["splits"] else "The official splits need their split files."


def _check_image(tao: Config, files: ConfigFiles) -> None:
    if tao["runner"] in runners.IN_CONTAINERS and not tao["image"] and tao["toolkit"] not in IMAGES:
        raise InputError(
            "This toolkit is not known to have an image.",
            where=files.where("tao", "toolkit"),
            found=tao["toolkit"],
            allowed=IMAGES,
            fix="name an image in tao.image, or choose another toolkit",
        )
    if tao["runner"] == "launcher" and tao["container"]["options"]:
        raise InputError(
            "NVIDIA's launcher takes no options for its containers.",
            where=files.where("tao", "container", "options"),
            found=tao["container"]["options"],
            fix="remove them, or set tao.runner: docker",
        )


def _check_toolkit(tao: Config, files: ConfigFiles) -> None:
    toolkit = tao["toolkit"]
    if tao["runner"] == "native" and not toolkits.has_native_peer(toolkit):
        raise InputError(
            "The native engine takes the place of TAO 5.5 and newer.",
            where=files.where("tao", "toolkit"),
            found=toolkit,
            allowed=[name for name in toolkits.TOOLKITS if toolkits.has_native_peer(name)],
            fix="choose one of these, or a tao.runner that runs NVIDIA's own code",
        )
    if toolkits.is_old(toolkit) and not tao["encrypt"]:
        raise InputError(
            f"TAO {toolkit} encrypts all that it writes.",
            where=files.where("tao", "encrypt"),
            found="false",
            fix="remove the key",
        )


def _check_store(config: Config, files: ConfigFiles) -> None:
    """Refuse to leave frames in their videos where a runner or a format needs image files."""
    frames, runner = config["frames"], config["tao"]["runner"]
    if frames["store"] != "video":
        if frames["check"] == "quick":
            raise InputError(
                "frames.check: quick needs frames.store: video; images are made by decoding.",
                where=files.where("frames", "check"),
                found=f"quick, with frames.store: {frames['store']}",
                allowed="full, quick with frames.store: video",
                fix="remove frames.check, or set frames.store: video",
            )
        return
    if runner != "native":
        raise InputError(
            "Only the native engine reads frames from videos; NVIDIA's code reads image files.",
            where=files.where("frames", "store"),
            found=f"video, with tao.runner: {runner}",
            allowed="images, video with tao.runner: native",
            fix="set frames.store: images, or tao.runner: native",
        )
    if frames["format"] != "png":
        raise InputError(
            "Frames that stay in their videos are stored in no image format, and lose nothing.",
            where=files.where("frames", "format"),
            found=f"{frames['format']}, with frames.store: video",
            allowed="png, whose pixels are those of the videos",
            fix="remove frames.format, or set frames.store: images",
        )


def _check_flow(config: Config, files: ConfigFiles) -> None:
    if config["flow"]["method"] != "flo":
        return
    if config["dataset"]["source"] == "shad":
        raise InputError(
            "SHAD's clips are cropped out of videos, whose flow cannot be read from files.",
            where=files.where("flow", "method"),
            found="flo",
            allowed=["dis", "farneback", "tvl1"],
            fix=dry_run(),
        )
    if not config["flow"]["path"]:
        raise InputError(
            "Flow that is read from .flo files needs flow.path.",
            where=files.where("flow", "path"),
            fix="add flow.path, the folder of <class>/<video>/*.flo, or set flow.method to dis",
        )


def _check_native(config: Config, name: str, files: ConfigFiles) -> None:
    runner, own = config["tao"]["runner"], queries.native(config, name)
    if runner != "native" and own:
        raise InputError(
            "Settings that only the native engine has, but another runner is to train.",
            where=f"{files.where('tao', 'runner')}, native or experiments.{name}.native",
            found=f"{', '.join(own)} with tao.runner: {runner}",
            fix="remove `native`, or set tao.runner: native",
        )


def _check_machines(config: Config, name: str, files: ConfigFiles) -> None:
    for task in ("train", "evaluate", "inference"):
        number, runner = queries.machines(config, name, task), config["tao"]["runner"]
        if number > 1 and runner != "native":
            raise InputError(
                "Only the native engine runs on several machines.",
                where=f"{files.where('tao', 'runner')}, spec or experiments.{name}.spec",
                found=f"{task}.num_nodes: {number} with tao.runner: {runner}",
                fix=f"set {task}.num_nodes: 1, or tao.runner: native",
            )


def _check_classes(config: Config, name: str, files: ConfigFiles) -> None:
    known = config["dataset"]["classes"]
    for label in queries.classes(config, name):
        if label not in known:
            raise InputError(
                f"The experiment asks for a class that the dataset does not have: {label!r}.",
                where=files.where("experiments", name, "classes"),
                found=label,
                allowed=known,
                fix="correct the class, or add it to dataset.classes",
            )


def check_budgets(config: Config, files: ConfigFiles) -> None:
    """Refuse a budget that could stop nothing; `config` still has its sweeps."""
    for name, experiment in config["experiments"].items():
        if not experiment["budget"]:
            continue
        where = files.where("experiments", name, "budget")
        if not experiment["sweep"]:
            raise InputError(
                "A budget is for a sweep, whose experiments it compares.",
                where=where,
                fix="add `sweep`, or remove `budget`; to end one training, set native.stop_after",
            )
        if config["tao"]["runner"] != "native":
            raise InputError(
                "Only the native engine can stop a training before its last epoch and resume it.",
                where=where,
                found=f"tao.runner: {config['tao']['runner']}",
                fix="remove `budget`, or set tao.runner: native",
            )
        if config["splits"]["validation"] == "test":
            raise InputError(
                "A budget stops experiments by their validation, and that is the test side.",
                where=where,
                found="splits.validation: test",
                fix="remove `budget`, or set splits.validation to a fraction, such as 0.2",
            )


def _check_frames(config: Config, specs: Mapping[str, DictConfig], files: ConfigFiles) -> None:
    """Refuse to store frames at the networks' input size if a network wants others."""
    if config["frames"]["size"] != "model":
        return
    where = files.where("frames", "size")
    sizes = {name: (s.model.input_width, s.model.input_height) for name, s in specs.items()}
    if len(set(sizes.values())) > 1:
        raise InputError(
            "Frames are to be stored at the input size, and the experiments have several.",
            where=where,
            found=", ".join(f"{name}: {w} x {h}" for name, (w, h) in sizes.items()),
            fix="give all experiments one input_width and input_height, or set frames.size: source",
        )
    unfit = [name for name in specs if queries.needs_flow(config, name) or _crops(specs[name])]
    if unfit:
        raise InputError(
            "Experiments that crop frames, or see flow, need the frames as the videos have them.",
            where=where,
            found=f"model, with {', '.join(unfit)}",
            fix="set dataset.augmentation_config.train_crop_type: no_crop in the spec, or set "
            "frames.size: source",
        )


def _crops(spec: DictConfig) -> bool:
    augmentation = spec.dataset.augmentation_config
    return augmentation.train_crop_type != "no_crop" or augmentation.val_center_crop
