"""Write the complete spec of one task, which then needs no command-line overrides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from actionrec.errors import InputError
from actionrec.spec import toolkits
from actionrec.spec.load import check_spec, make_spec
from actionrec.spec.native_keys import NativeConfig
from actionrec.spec.schema import STREAMS
from actionrec.spec.toolkits import KEY, TASKS
from actionrec.utils.files import write_text

NEWEST = toolkits.TOOLKITS[-1]


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


def relevant_keys(overrides: Mapping[str, Any], task: str) -> dict[str, Any]:
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
    check_spec(spec, where)
    chosen = {key for key, _ in toolkits.leaves(overrides)}
    own = toolkits.express(OmegaConf.to_container(_told(spec)), toolkit, task, chosen)
    write_text(output, OmegaConf.to_yaml(OmegaConf.create(own)))


def as_yaml(spec: DictConfig) -> str:
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
    spec = make_spec({**overrides, "native": dict(native or {})}, where)
    toolkits.refuse_unknown(overrides, toolkit, where)
    check_spec(spec, where)
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
