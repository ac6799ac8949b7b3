"""The settings that must not change between the start of a training and its resumption."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from actionrec.errors import InputError
from actionrec.spec import native_keys


def fixed_settings(spec: DictConfig) -> dict[str, Any]:
    """Return the values of these settings by dotted key, to be kept in a checkpoint."""
    keys = [f"model.{key}" for key in spec.model if "pretrained" not in key]
    keys += [f"dataset.{key}" for key in ("label_map", "batch_size", "clips_per_video")]
    keys += [f"dataset.augmentation_config.{key}" for key in spec.dataset.augmentation_config]
    keys += [f"train.optim.{key}" for key in spec.train.optim]
    keys += [f"train.{key}" for key in ("num_gpus", "num_nodes", "seed", "clip_grad_norm")]
    keys += [f"native.{key}" for key in spec.native if key not in native_keys.CHANGEABLE_ON_RESUME]
    if spec.native.lr_schedule == "cosine":  # the other schedules do not depend on the last epoch
        keys.append("train.num_epochs")
    plain = OmegaConf.to_container(spec, throw_on_missing=False)
    return {key: _select(plain, key) for key in keys}


def _select(values: Any, dotted_key: str) -> Any:
    for name in dotted_key.split("."):
        values = values[name]
    return values


def check_unchanged(saved: Mapping[str, Any] | None, spec: DictConfig, folder: Path) -> None:
    """Raise `InputError` if the training in `folder` was started with other values than `spec`.

    `saved` are the `fixed_settings` of its checkpoint, None for a checkpoint of TAO's, which has
    none. TAO silently resumes with the old values.
    """
    if saved is None:
        return
    changed = [
        f"{key}: {saved.get(key)} is now {value}"
        for key, value in fixed_settings(spec).items()
        if saved.get(key) != value
    ]
    if changed:
        raise InputError(
            "The results folder holds a training that another spec began.",
            where=folder,
            found="; ".join(changed),
            fix="remove the folder to train from the start, or choose another results_dir",
        )
