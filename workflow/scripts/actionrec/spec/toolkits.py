"""What differs between TAO's toolkits: the keys of their specs and their command lines.

Experiments are written with the keys of 7.3 whatever toolkit runs them. Sources: NVIDIA's
dataclasses of 5.0.0 to 7.3.0; for 3.21.11 to 4.0.1, whose code is not public, NVIDIA's published
specs of that time.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from actionrec.spec.dotted_keys import leaves, nested
from actionrec.spec.errors import SpecError

Toolkit = Literal[
    "3.21.11",
    "3.22.05",
    "4.0.1",
    "5.0.0",
    "5.3.0",
    "5.5.0",
    "6.0.0",
    "6.25.10",
    "6.26.3",
    "7.3.0",
]
TOOLKITS: tuple[Toolkit, ...] = get_args(Toolkit)
NEWEST: Toolkit = TOOLKITS[-1]
TASKS = ("train", "evaluate", "inference", "export")
PUBLIC_KEY = "nvidia_tao"  # which NVIDIA encrypts its own models with
# How a spec refers to the encryption key: by its variable, so that the key is in no file.
KEY_REFERENCE = f"${{oc.env:TAO_KEY,{PUBLIC_KEY}}}"

# The toolkit that a key, or a section, came with; all others are in every toolkit.
SINCE = {
    "train.num_gpus": "5.2.0",
    "inference.video_num_segments": "5.0.0",
    "wandb": "5.5.0",
    "train.num_nodes": "5.5.0",
    "train.seed": "5.5.0",
    "train.cudnn": "5.5.0",
    "train.validation_interval": "5.5.0",
    "evaluate.num_gpus": "5.5.0",
    "evaluate.num_nodes": "5.5.0",
    "inference.num_gpus": "5.5.0",
    "inference.num_nodes": "5.5.0",
    "model_name": "6.0.0",
    "evaluate.trt_engine": "6.0.0",
    "inference.trt_engine": "6.0.0",
    "wandb.run_id": "6.25.10",
    "train.checkpoint_interval_unit": "6.25.10",
    "wandb.group": "6.26.3",
    "train.checkpointer": "7.3.0",
}
# What to do where a toolkit lacks a key, if there is more to say than to remove it.
ALTERNATIVES = {
    "train.num_gpus": "name the GPUs in train.gpu_ids",
    "train.validation_interval": "set train.checkpoint_interval, which is the interval of the "
    "validation too in this toolkit",
    "inference.video_num_segments": "leave it to evaluate.video_num_segments",
}

# 5.0 to 5.3 evaluate and predict on one GPU, named by a number.
ONE_GPU = {"evaluate.gpu_ids": "evaluate.gpu_id", "inference.gpu_ids": "inference.gpu_id"}

# The names of 3.21.11 to 4.0.1 that are not just a section renamed. The keys of a task other
# than training stand at the top.
OLD_SECTIONS = {"model": "model_config", "dataset": "dataset_config", "train": "train_config"}
OLD_NAMES = {
    "results_dir": "output_dir",
    "train.gpu_ids": "gpu_ids",
    "train.num_epochs": "train_config.epochs",
    "evaluate.checkpoint": "model",
    "inference.checkpoint": "model",
    "export.checkpoint": "model",
    "export.onnx_file": "output_file",
}
# What the specs of these toolkits always name, as their defaults are not known: the keys of
# NVIDIA's specs of that time. Other keys are in them only where a user sets them.
OLD_TRAIN = frozenset(
    [
        "results_dir",
        "encryption_key",
        "dataset.train_dataset_dir",
        "dataset.val_dataset_dir",
        "dataset.clips_per_video",
        "train.num_epochs",
        "train.checkpoint_interval",
        *(
            f"train.optim.{name}"
            for name in ("lr", "momentum", "weight_decay", "lr_scheduler", "lr_steps", "lr_decay")
        ),
    ]
)
OLD_ALWAYS = frozenset(
    [
        "model.model_type",
        "model.backbone",
        "model.rgb_seq_length",
        "model.input_type",
        "model.sample_strategy",
        "model.dropout_ratio",
        "model.input_height",
        "model.input_width",
        "dataset.label_map",
        "dataset.batch_size",
        "dataset.workers",
        "dataset.augmentation_config.train_crop_type",
        "dataset.augmentation_config.horizontal_flip_prob",
        "dataset.augmentation_config.rgb_input_mean",
        "dataset.augmentation_config.rgb_input_std",
        "dataset.augmentation_config.val_center_crop",
        "evaluate.checkpoint",
        "evaluate.batch_size",
        "evaluate.test_dataset_dir",
        "evaluate.video_eval_mode",
        "inference.checkpoint",
        "inference.inference_dataset_dir",
        "inference.video_inf_mode",
        "export.checkpoint",
        "export.onnx_file",
    ]
)
FLIP = "dataset.augmentation_config.horizontal_flip_prob"


def version(toolkit: str) -> tuple[int, ...]:
    """Return a version as numbers, to be compared."""
    return tuple(int(part) for part in toolkit.split("."))


def is_old(toolkit: str) -> bool:
    """Tell whether a toolkit has the first schema and command line (3.21.11 to 4.0.1)."""
    return version(toolkit) < (5,)


def resumes(toolkit: str) -> bool:
    """Tell whether a training resumes from the checkpoints in its folder (since 5.5)."""
    return version(toolkit) >= (5, 5)


def has_native_peer(toolkit: str) -> bool:
    """Tell whether the native engine can take the place of a toolkit (since 5.5)."""
    return version(toolkit) >= (5, 5)


def _names_one_gpu(toolkit: str) -> bool:
    """Tell whether evaluation and inference take one GPU, by its number (5.0 to 5.3)."""
    return (5,) <= version(toolkit) < (5, 5)


def model_file(toolkit: str) -> str:
    """Return the name of a chosen checkpoint: TAO calls them .tlt until 5.3."""
    return "model.pth" if version(toolkit) >= (5, 5) else "model.tlt"


def exported_file(toolkit: str) -> str:
    """Return the name of what TAO's export makes: ONNX, and before 5.0 an encrypted .etlt."""
    return "model.etlt" if is_old(toolkit) else "model.onnx"


def program(toolkit: str) -> list[str]:
    """Return what `arguments` are given to where TAO is installed, in a container or not.

    Before 5.0 the encryption key is an argument: a shell next to TAO adds it from the environment,
    so that it is in no file and on no command line of ours.
    """
    if not is_old(toolkit):
        return ["action_recognition"]
    script = f'exec action_recognition "$@" -k "${{TAO_KEY:-{PUBLIC_KEY}}}"'
    return ["sh", "-c", script, "action_recognition"]


def arguments(toolkit: str, task: str, spec: Path, results_dir: Path) -> list[str]:
    """Return the arguments of `action_recognition`; paths are made absolute, as TAO needs them."""
    command = [task, "-e", str(spec.absolute())]
    if is_old(toolkit) and task == "train":
        command += ["-r", str(results_dir.absolute())]
    return command


def refuse_unknown(overrides: Mapping[str, Any], toolkit: str, where: Path | str) -> None:
    """Raise `SpecError` for a key set by the user that a toolkit does not have."""
    for key, value in leaves(overrides):
        if version(toolkit) < version(since(key)):
            raise SpecError(
                f"TAO {toolkit} does not have this key.",
                key=key,
                where=where,
                found=value,
                fix=f"{ALTERNATIVES.get(key, 'remove the key')}; or set tao.toolkit to "
                f"{', '.join(t for t in TOOLKITS if version(t) >= version(since(key)))}",
            )
        if key in ONE_GPU and _names_one_gpu(toolkit) and len(value) != 1:
            raise SpecError(
                f"TAO {toolkit} evaluates and predicts on one GPU only.",
                key=key,
                where=where,
                found=value,
                fix="name one GPU",
            )


def since(key: str) -> str:
    """Return the first toolkit that has a key, by its name in 7.3."""
    parts = key.split(".")
    prefixes = (".".join(parts[: end + 1]) for end in range(len(parts)))
    return max((SINCE[p] for p in prefixes if p in SINCE), key=version, default=TOOLKITS[0])


def to_schema(
    spec: Mapping[str, Any], toolkit: str, task: str, chosen: Collection[str]
) -> dict[str, Any]:
    """Return a complete 7.3 spec, nested, as the spec of one task in a toolkit's own schema.

    From 5.0 it names every key of the toolkit but the other tasks' sections, so that defaults,
    which differ, do not matter. Before, it names what NVIDIA's own specs named and the `chosen`
    keys, by their names in 7.3.
    """
    values = {
        key: value
        for key, value in leaves(spec)
        if version(since(key)) <= version(toolkit)
        and (key.partition(".")[0] == task or key.partition(".")[0] not in TASKS)
    }
    if is_old(toolkit):
        return nested(_old(values, task, chosen))
    if _names_one_gpu(toolkit):
        values = {
            ONE_GPU.get(key, key): value[0] if key in ONE_GPU else value
            for key, value in values.items()
        }
    return nested(values)


def _old(values: Mapping[str, Any], task: str, chosen: Collection[str]) -> dict[str, Any]:
    """Return the spec of a task before 5.0, by dotted names."""
    named = OLD_ALWAYS.union(chosen)
    named = named | OLD_TRAIN if task == "train" else named - OLD_TRAIN
    values = {
        key: value
        for key, value in values.items()
        if key in named or _describes_pretrained(key, values)
    }
    values["model.backbone"] = values["model.backbone"].replace("_", "")
    if task == "train":
        values["results_dir"] += f"/{task}"
    else:
        values[FLIP] = 0.0
    height, width = (values.pop(f"model.input_{side}") for side in ("height", "width"))
    old = {_old_name(key, task): value for key, value in values.items()}
    return {**old, "dataset_config.output_shape": [height, width]}


def _describes_pretrained(key: str, values: Mapping[str, Any]) -> bool:
    """Tell whether a key describes weights that a training starts from."""
    return bool("_pretrained_" in key and values[key.replace("num_classes", "model_path")])


def _old_name(key: str, task: str) -> str:
    if key in OLD_NAMES:
        return OLD_NAMES[key]
    section, _, rest = key.partition(".")
    if section in OLD_SECTIONS:
        return f"{OLD_SECTIONS[section]}.{rest}"
    return rest if section == task else key


def keys_of_task(keys: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the keys that one task's spec depends on: all but the other tasks' sections.

    Inference looks at evaluate's section too, to see the clips that evaluation scores.
    """
    needed = {task, "evaluate"} if task == "inference" else {task}
    return {key: value for key, value in keys.items() if key in needed or key not in TASKS}


def name_in(toolkit: str, task: str, key: str) -> str:
    """Return what a toolkit calls a key in the spec of a task, by its name in 7.3."""
    if is_old(toolkit):
        return _old_name(key, task)
    return ONE_GPU.get(key, key) if _names_one_gpu(toolkit) else key


def last_epoch(spec: Mapping[str, Any]) -> int | None:
    """Return the epoch, from 0, of the last checkpoint that a whole training writes.

    `spec` is a training's spec in any schema; None where steps, a metric or the native engine's
    early stopping decide, or where the spec does not say.
    """
    train = spec.get("train") or spec.get("train_config") or {}
    native = spec.get("native") or {}
    epochs = train.get("num_epochs", train.get("epochs"))
    by_metric = (train.get("checkpointer") or {}).get("replace_periodic", False)
    may_stop = (native.get("early_stopping") or {}).get("patience") is not None
    by_step = train.get("checkpoint_interval_unit") == "step"
    if epochs is None or by_metric or may_stop or by_step:
        return None
    epochs = min(epochs, native.get("stop_after") or epochs)
    interval = train.get("checkpoint_interval", 1)
    return epochs // interval * interval - 1


# NVIDIA's images of action_recognition, as the launchers of each toolkit name them.
REGISTRY = "nvcr.io/nvidia/tao"
IMAGES = {
    "3.21.11": f"{REGISTRY}/tao-toolkit-pyt:v3.21.11-py3",
    "3.22.05": f"{REGISTRY}/tao-toolkit-pyt:v3.22.05-py3",
    "4.0.1": f"{REGISTRY}/tao-toolkit:4.0.0-pyt",
    **{
        toolkit: f"{REGISTRY}/tao-toolkit:{toolkit}-pyt"
        for toolkit in ("5.0.0", "5.3.0", "5.5.0", "6.0.0", "6.25.10", "6.26.3")
    },
}
