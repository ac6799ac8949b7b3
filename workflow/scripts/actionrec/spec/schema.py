"""The experiment spec of TAO Toolkit 7.3: its schema, and how specs are read, checked and written.

Names, types, defaults and order of the keys are those of NVIDIA's `action_recognition` 7.3.0;
`generations` knows what other toolkits call them.
Unknown keys and wrong types are refused as TAO refuses them; values outside a key's options
or range, which TAO accepts and trips over later, are refused here too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from actionrec.errors import InputError
from actionrec.spec import native_keys, toolkits
from actionrec.spec.constraints import one_of, span, within
from actionrec.spec.native_keys import NativeConfig
from actionrec.spec.toolkits import KEY, TASKS
from actionrec.utils.files import write_text

NEWEST = toolkits.TOOLKITS[-1]
STREAMS = ("rgb", "of", "joint")  # what weights are for: frames, flow, or both with their fusion


@dataclass
class WandbConfig:
    """Weights & Biases; read for compatibility, the native engine logs nothing there."""

    enable: bool = True
    project: str = "TAO Toolkit"
    entity: str | None = ""
    group: str | None = ""
    tags: list[str] = field(default_factory=lambda: ["training", "tao-toolkit"])
    reinit: bool = False
    sync_tensorboard: bool = False
    save_code: bool = False
    name: str = "TAO Toolkit training experiment"
    run_id: str = ""


@dataclass
class ModelConfig:
    """The network, the clips it sees and the weights it starts from."""

    model_type: str = one_of("rgb", "of", "joint", default="rgb")
    backbone: str = one_of(
        "resnet_18",
        "resnet_34",
        "resnet_50",
        "resnet_101",
        "resnet_152",
        "i3d",
        default="resnet_18",
    )
    input_type: str = one_of("2d", "3d", default="2d")
    of_seq_length: int = within(1, default=10)
    of_pretrained_model_path: str | None = None
    of_pretrained_num_classes: int = within(0, default=5)
    rgb_seq_length: int = within(1, default=3)
    rgb_pretrained_model_path: str | None = None
    rgb_pretrained_num_classes: int = within(0, default=5)
    num_fc: int = within(1, default=64)
    joint_pretrained_model_path: str | None = None
    sample_strategy: str = one_of("random_interval", "consecutive", default="random_interval")
    sample_rate: int = within(1, default=1)
    imagenet_pretrained: bool = False
    dropout_ratio: float = within(0, 1, default=0.5)
    input_width: int = within(1, default=224)
    input_height: int = within(1, default=224)


@dataclass
class AugmentationConfig:
    """How frames are cropped, flipped and normalised."""

    train_crop_type: str = one_of(
        "random_crop", "multi_scale_crop", "no_crop", default="random_crop"
    )
    scales: list[float] = field(default_factory=lambda: [1.0], metadata=span(1e-6))
    horizontal_flip_prob: float = within(0, 1, default=0.5)
    rgb_input_mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    rgb_input_std: list[float] = field(
        default_factory=lambda: [0.229, 0.224, 0.225], metadata=span(1e-6)
    )
    of_input_mean: list[float] = field(default_factory=lambda: [0.5])
    of_input_std: list[float] = field(default_factory=lambda: [0.5], metadata=span(1e-6))
    val_center_crop: bool = False
    crop_smaller_edge: int = within(1, default=256)


@dataclass
class DatasetConfig:
    """Where the videos are, what their classes are called and how they are loaded."""

    train_dataset_dir: str | None = None
    val_dataset_dir: str | None = None
    label_map: dict[str, int] | None = None
    batch_size: int = within(1, default=2)
    workers: int = within(0, default=8)
    clips_per_video: int = within(1, default=1)
    augmentation_config: AugmentationConfig = field(default_factory=AugmentationConfig)


@dataclass
class CudnnConfig:
    """cuDNN's choice of algorithms."""

    benchmark: bool = False
    deterministic: bool = True


@dataclass
class CheckpointerConfig:
    """The best checkpoints by a metric, beside or instead of the periodic ones (new in 7.3)."""

    enable_topk: bool = False
    replace_periodic: bool = False
    monitor: str | None = None
    mode: str | None = one_of("min", "max", default=None)
    save_top_k: int = within(-1, default=1)
    filename: str = "model_best_{epoch:03d}"
    dirpath: str | None = None
    auto_insert_metric_name: bool = False


@dataclass
class OptimConfig:
    """SGD and its learning-rate schedule."""

    lr: float = within(0, default=0.0005)
    momentum: float = within(0, default=0.9)
    weight_decay: float = within(0, default=0.0005)
    lr_scheduler: str = one_of("MultiStep", "AutoReduce", default="MultiStep")
    lr_monitor: str = one_of("val_loss", "train_loss", default="val_loss")
    patience: int = within(0, default=1)
    min_lr: float = within(0, default=0.0001)
    lr_steps: list[int] = field(default_factory=lambda: [15, 25], metadata=span(0))
    lr_decay: float = within(0, default=0.1)


@dataclass
class TrainConfig:
    """How long to train, how to optimise and what to save."""

    num_gpus: int = within(1, default=1)
    gpu_ids: list[int] = field(default_factory=lambda: [0])
    num_nodes: int = within(1, default=1)
    seed: int = within(0, default=1234)
    cudnn: CudnnConfig = field(default_factory=CudnnConfig)
    num_epochs: int = within(1, default=10)
    checkpoint_interval: int = within(1, default=1)
    checkpoint_interval_unit: str = one_of("epoch", "step", default="epoch")
    validation_interval: int = within(1, default=1)
    resume_training_checkpoint_path: str | None = None
    results_dir: str | None = None
    checkpointer: CheckpointerConfig = field(default_factory=CheckpointerConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    clip_grad_norm: float = within(0, default=0.0)


@dataclass
class EvaluateConfig:
    """Which checkpoint is measured on which videos."""

    num_gpus: int = within(1, default=1)
    gpu_ids: list[int] = field(default_factory=lambda: [0])
    num_nodes: int = within(1, default=1)
    checkpoint: str = MISSING
    trt_engine: str | None = None
    results_dir: str | None = None
    batch_size: int = within(1, default=1)
    test_dataset_dir: str = MISSING
    video_eval_mode: str = one_of("center", "conv", "all", default="center")
    video_num_segments: int = within(1, default=10)


@dataclass
class ExportConfig:
    """Which checkpoint becomes which ONNX file."""

    checkpoint: str = MISSING
    results_dir: str | None = None
    onnx_file: str | None = None
    gpu_id: int = 0
    batch_size: int = 1


@dataclass
class InferenceConfig:
    """Which checkpoint predicts which videos."""

    num_gpus: int = within(1, default=1)
    gpu_ids: list[int] = field(default_factory=lambda: [0])
    num_nodes: int = within(1, default=1)
    checkpoint: str = MISSING
    trt_engine: str | None = None
    results_dir: str | None = None
    batch_size: int = within(1, default=1)
    inference_dataset_dir: str = MISSING
    video_inf_mode: str = one_of("center", "conv", "all", default="center")
    video_num_segments: int = within(1, default=1)


@dataclass
class Spec:
    """A whole experiment: every key of TAO 7.3, in TAO's order, then the native engine's own."""

    model_name: str | None = None
    encryption_key: str | None = None
    results_dir: str | None = ""
    wandb: WandbConfig = field(default_factory=WandbConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    native: NativeConfig = field(default_factory=NativeConfig)


def load(path: Path | str, overrides: Sequence[str] = ()) -> DictConfig:
    """Read a spec file, apply `a.b=c` overrides and check every key, type and value.

    Raises `InputError` with the file and the key.
    """
    path = Path(path)
    if path.suffix != ".yaml":
        raise InputError(
            "A spec file's name must end in .yaml (TAO skips its checks for any other).",
            where=path,
            found=path.suffix or "no extension",
            allowed=[".yaml"],
        )
    if not path.is_file():
        raise InputError("The spec file does not exist.", where=path)
    spec = merge(_read_yaml(path), path)
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key:
            raise InputError(
                "An override must read key=value.", where="command line", found=override
            )
        spec = _merged(spec, OmegaConf.from_dotlist([override]), "command line")
    check(spec, path)
    return spec


def merge(values: Mapping[str, Any], where: Path | str) -> DictConfig:
    """Lay `values` (nested, TAO's keys) over the defaults; refuse unknown keys and wrong types."""
    return _merged(_defaults(), OmegaConf.create(dict(values)), where)


@cache
def _defaults() -> DictConfig:
    """Return TAO's defaults, to be merged with, which copies them."""
    return OmegaConf.structured(Spec)


def check(spec: DictConfig, where: Path | str) -> None:
    """Refuse values outside their key's options or range, and values that contradict each other.

    Raises `InputError`; `where` names the file in its message.
    """
    for key, metadata in _constraints(Spec):
        if not OmegaConf.is_missing(*_parent(spec, key)):
            _check_value(OmegaConf.select(spec, key), key, metadata, where)
    _check_labels(spec.dataset.label_map, where)
    for key, sizes in (("rgb", (1, 3)), ("of", (1, 2))):
        for part in ("mean", "std"):
            name = f"dataset.augmentation_config.{key}_input_{part}"
            values = OmegaConf.select(spec, name)
            if len(values) not in sizes:
                raise InputError(
                    "There must be one value, or one for each channel.",
                    where=f"{where}: {name}",
                    found=f"{len(values)} values",
                    allowed=[f"{size} values" for size in sizes],
                )
    native_keys.check(spec, where)
    train, epochs = spec.train, native_keys.epochs(spec)
    if train.checkpoint_interval_unit == "epoch" and train.checkpoint_interval > epochs:
        key = "train.num_epochs" if epochs == train.num_epochs else "native.stop_after"
        raise InputError(
            "Checkpoints would never be saved: the interval is longer than the training.",
            where=f"{where}: train.checkpoint_interval",
            found=train.checkpoint_interval,
            allowed=[f"1 to {epochs} ({key})"],
        )


def require(spec: DictConfig, key: str, where: Path | str) -> Any:
    """Return the value of `key`, which the task at hand cannot do without."""
    if OmegaConf.is_missing(*_parent(spec, key)) or OmegaConf.select(spec, key) in (None, ""):
        raise InputError(
            "A key that this task needs has no value.",
            where=f"{where}: {key}",
            fix=f"set {key} in the spec",
        )
    return OmegaConf.select(spec, key)


def count_gpus(section: DictConfig) -> None:
    """Make the numbers of a task's GPUs as many as they are said to be, as TAO does.

    The larger of `num_gpus` and the length of `gpu_ids` counts; too few ids are replaced.
    """
    if "gpu_ids" in section and section.num_gpus != len(section.gpu_ids):
        section.num_gpus = max(section.num_gpus, len(section.gpu_ids))
        if len(section.gpu_ids) < section.num_gpus:
            section.gpu_ids = list(range(section.num_gpus))


def results_dir(spec: DictConfig, task: str, where: Path | str) -> Path:
    """Return the folder of a task's results: <task>.results_dir, else results_dir/<task>."""
    own = OmegaConf.select(spec, f"{task}.results_dir")
    if own:
        return Path(own)
    if not spec.results_dir:
        raise InputError(
            "The spec says nowhere to put results.",
            where=f"{where}: results_dir",
            fix=f"set results_dir (or {task}.results_dir)",
        )
    return Path(spec.results_dir) / task


# What the workflow decides, and what decides it: a user's override would only break a link
# in the chain of rules.
OWNED = {
    "encryption_key": "tao.encrypt and the environment variable TAO_KEY",
    "results_dir": "the experiment's name",
    "train.results_dir": "the experiment's name",
    "evaluate.results_dir": "the experiment's name",
    "inference.results_dir": "the experiment's name",
    "export.results_dir": "the experiment's name",
    "dataset.train_dataset_dir": "dataset and splits",
    "dataset.val_dataset_dir": "splits.validation",
    "dataset.label_map": "the experiment's classes, in their order",
    "model.rgb_pretrained_model_path": "the experiment's pretrained",
    "model.rgb_pretrained_num_classes": "the experiment's pretrained",
    "model.of_pretrained_model_path": "the experiment's pretrained",
    "model.of_pretrained_num_classes": "the experiment's pretrained",
    "model.joint_pretrained_model_path": "the experiment's pretrained",
    "train.resume_training_checkpoint_path": "the workflow, which resumes by itself",
    "train.checkpointer.filename": "the workflow, which finds the checkpoints by their names",
    "train.checkpointer.dirpath": "the experiment's name",
    "evaluate.checkpoint": "tao.checkpoint",
    "evaluate.test_dataset_dir": "splits",
    "inference.checkpoint": "tao.checkpoint",
    "inference.inference_dataset_dir": "splits",
    "export.checkpoint": "tao.checkpoint",
    "export.onnx_file": "the experiment's name",
    "native": "the configuration's key `native`, which stands beside `spec`",
}


def relevant(overrides: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the keys that one task's spec depends on: all but the other tasks' sections.

    Inference looks at evaluate's section too, to see the clips that evaluation scores.
    """
    needed = {task, "evaluate"} if task == "inference" else {task}
    return {key: value for key, value in overrides.items() if key in needed or key not in TASKS}


def render_spec(
    output: Path,
    task: str,
    overrides: Mapping[str, Any],
    *,
    labels: Sequence[str],
    run: Path,
    validation: str | None,
    pretrained: Mapping[str, tuple[Path, int]],
    toolkit: str = NEWEST,
    encrypt: bool = False,
    native: Mapping[str, Any] | None = None,
    where: Path | str = "spec",
) -> None:
    """Write the spec of one task of an experiment, in the schema of a toolkit.

    It is complete for its task and leaves the other tasks' sections out, so that it changes only
    when its own task does. `overrides` are the user's TAO keys, nested; `labels` the classes in
    the order of their ids; `run` the folder of the experiment and split (paths are written as
    given); `validation` "val", "test" or None; `pretrained` the weights that each stream starts
    from, with their number of classes; `encrypt` whether checkpoints are encrypted with the key in
    TAO_KEY; `native` the native engine's own settings, left out unless they change something;
    `where` names the overrides in errors. Raises `InputError` as `check_overrides` does.
    """
    spec = check_overrides(overrides, where, native, toolkit)
    data = run / "data"
    spec.encryption_key = KEY if encrypt or toolkits.is_old(toolkit) else None
    spec.results_dir = str(run)
    spec.dataset.label_map = {label: index for index, label in enumerate(labels)}
    spec.dataset.train_dataset_dir = str(data / "train")
    spec.dataset.val_dataset_dir = str(data / validation) if validation else None
    _name_pretrained(spec.model, pretrained)
    if task != "train":
        spec[task].checkpoint = str(run / toolkits.model_file(toolkit))
    spec.evaluate.test_dataset_dir = str(data / "test")
    spec.inference.inference_dataset_dir = str(data / "inference")
    spec.export.onnx_file = str(run / "export" / toolkits.exported_file(toolkit))
    _infer_as_evaluated(spec, overrides.get("inference") or {})
    check(spec, where)
    chosen = {key for key, _ in toolkits.leaves(overrides)}
    own = toolkits.express(OmegaConf.to_container(_told(spec)), toolkit, task, chosen)
    write_text(output, OmegaConf.to_yaml(OmegaConf.create(own)))


def written(spec: DictConfig) -> str:
    """Return a spec as YAML: TAO's own unless settings of the native engine change something."""
    return OmegaConf.to_yaml(_told(spec))


def _told(spec: DictConfig) -> DictConfig:
    """Leave out the section `native` if it changes nothing."""
    if spec.native != OmegaConf.structured(NativeConfig):
        return spec
    return OmegaConf.masked_copy(spec, [key for key in spec if key != "native"])


def check_overrides(
    overrides: Mapping[str, Any],
    where: Path | str,
    native: Mapping[str, Any] | None = None,
    toolkit: str = NEWEST,
) -> DictConfig:
    """Return TAO's defaults with a user's keys, and the native engine's own, laid over them.

    Raises `InputError` for a key that the workflow owns, an unknown key, one that `toolkit` does
    not have, or a refused value.
    """
    _refuse_owned(overrides, where)
    spec = merge({**overrides, "native": dict(native or {})}, where)
    toolkits.refuse_unknown(overrides, toolkit, where)
    check(spec, where)
    return spec


def _name_pretrained(model: DictConfig, pretrained: Mapping[str, tuple[Path, int]]) -> None:
    for stream in STREAMS:
        path, classes = pretrained.get(stream, (None, 0))
        model[f"{stream}_pretrained_model_path"] = None if path is None else str(path)
        if stream != "joint":
            model[f"{stream}_pretrained_num_classes"] = classes


def _infer_as_evaluated(spec: DictConfig, chosen: Mapping[str, Any]) -> None:
    """Let inference see the clips that evaluation scores, unless the user chose others."""
    if "video_inf_mode" not in chosen:
        spec.inference.video_inf_mode = spec.evaluate.video_eval_mode
    if "video_num_segments" not in chosen:
        spec.inference.video_num_segments = spec.evaluate.video_num_segments


def _refuse_owned(overrides: Mapping[str, Any], where: Path | str) -> None:
    for key, owner in OWNED.items():
        value: Any = overrides
        for name in key.split("."):
            if not isinstance(value, Mapping) or name not in value:
                break
            value = value[name]
        else:
            raise InputError(
                f"The workflow sets {key} itself, from {owner}.",
                where=f"{where}: {key}",
                found=value,
                fix="remove the key",
            )


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (yaml.YAMLError, UnicodeDecodeError, OSError, OmegaConfBaseException) as error:
        raise InputError("The spec is not valid YAML.", where=path, found=error) from error
    if not isinstance(values, dict):
        raise InputError("A spec must be a mapping of keys to values.", where=path)
    return values


def _merged(base: DictConfig, values: Any, where: Path | str) -> DictConfig:
    try:
        return OmegaConf.merge(base, values)
    except ConfigKeyError as error:
        parent, _, name = error.full_key.rpartition(".")
        known = OmegaConf.select(base, parent) if parent else base
        own = error.full_key.startswith("native.")
        raise InputError(
            "The native engine has no such key."
            if own
            else "There is no such key in TAO's schema.",
            where=f"{where}: {error.full_key}",
            found=name,
            allowed=list(known) if isinstance(known, DictConfig) else None,
        ) from error
    except OmegaConfBaseException as error:
        key = f": {error.full_key}" if error.full_key else ""
        raise InputError(str(error.msg or error).splitlines()[0], where=f"{where}{key}") from error


def _parent(spec: DictConfig, key: str) -> tuple[DictConfig, str]:
    parent, _, name = key.rpartition(".")
    return (OmegaConf.select(spec, parent) if parent else spec), name


def _constraints(schema: type, prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the dotted name and constraints of each constrained key."""
    for item in fields(schema):
        if is_dataclass(item.type):
            yield from _constraints(item.type, f"{prefix}{item.name}.")
        elif item.metadata:
            yield prefix + item.name, item.metadata


def _check_value(value: Any, key: str, metadata: Mapping[str, Any], where: Path | str) -> None:
    if value is None:
        return
    if "allowed" in metadata and value not in metadata["allowed"]:
        raise InputError(
            "The value is none of the key's options.",
            where=f"{where}: {key}",
            found=value,
            allowed=metadata["allowed"],
        )
    if "range" in metadata:
        low, high = metadata["range"]
        values = value if OmegaConf.is_list(value) else [value]
        for number in values:
            if not low <= number <= high:
                allowed = f"{low:g} or more" if high == float("inf") else f"{low:g} to {high:g}"
                raise InputError(
                    "The value is out of range.",
                    where=f"{where}: {key}",
                    found=number,
                    allowed=[allowed],
                )


def _check_labels(labels: Mapping[str, int] | None, where: Path | str) -> None:
    if labels is None:
        return
    where = f"{where}: dataset.label_map"
    if len(labels) < 2:
        raise InputError(
            "The number of classes must be larger than 1.",
            where=where,
            found=", ".join(labels) or "no class",
            fix="name at least two classes",
        )
    if sorted(labels.values()) != list(range(len(labels))):
        raise InputError(
            "The ids of the classes must be 0, 1, 2, ... each once.",
            where=where,
            found=", ".join(f"{label}: {index}" for label, index in labels.items()),
            allowed=[f"0 to {len(labels) - 1}"],
        )
