"""What the native engine offers beyond TAO: the spec's own section `native`.

With the defaults a training is TAO's. Loads nothing heavy: the Snakefile checks these keys too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from actionrec.errors import InputError
from actionrec.spec.constraints import one_of, within

METRICS = ("train_loss", "train_acc_1", "val_loss", "val_acc_1")
AT_TEST = ("test_segments",)  # what evaluation and inference depend on; the rest is training's
# What a training that goes on may have otherwise than before.
UNBOUND = (*AT_TEST, "cuda_graphs", "stop_after")


@dataclass
class EarlyStopping:
    """End the training after `patience` epochs in which `monitor` was no better; null: never."""

    patience: int | None = within(1, default=None)
    monitor: str = one_of(*METRICS, default="val_loss")


@dataclass
class NativeConfig:
    """Precision, regularisation, schedules and sampling that TAO does not have."""

    precision: str = one_of("tao", "fp32", "tf32", "bf16", "fp16", default="tao")
    channels_last: bool | None = None
    cuda_graphs: bool = True
    ema_decay: float = within(0, 0.999999, default=0.0)
    label_smoothing: float = within(0, 0.999999, default=0.0)
    mixup_alpha: float = within(0, default=0.0)
    class_balanced: bool = False
    lr_schedule: str = one_of("tao", "cosine", default="tao")
    warmup_epochs: float = within(0, default=0.0)
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    stop_after: int | None = within(1, default=None)
    test_segments: int = within(0, default=0)


def epochs(spec: Any) -> int:
    """Return the epoch, from 1, that ends a training; its schedules see train.num_epochs."""
    return min(spec.train.num_epochs, spec.native.stop_after or spec.train.num_epochs)


def relevant(native: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the keys that one task depends on; export depends on none."""
    if task == "train":
        return {key: value for key, value in native.items() if key not in AT_TEST}
    if task in ("evaluate", "inference"):
        return {key: value for key, value in native.items() if key in AT_TEST}
    return {}


def check(spec: Any, where: Any) -> None:
    """Refuse settings that contradict each other or TAO's; `where` names the file."""
    for key, found, fix in _contradictions(spec):
        raise InputError(
            "Two settings contradict each other.", where=f"{where}: {key}", found=found, fix=fix
        )


def _contradictions(spec: Any) -> Iterator[tuple[str, str, str]]:
    """Yield key, values and remedy of each pair of settings that cannot both be meant."""
    native, train = spec.native, spec.train
    if native.warmup_epochs and native.lr_schedule != "cosine":
        yield (
            "native.warmup_epochs",
            f"{native.warmup_epochs:g} with native.lr_schedule: {native.lr_schedule}",
            "set native.lr_schedule: cosine, or remove the warm-up",
        )
    if native.lr_schedule == "cosine" and train.optim.lr_scheduler != "MultiStep":
        yield (
            "native.lr_schedule",
            f"cosine with train.optim.lr_scheduler: {train.optim.lr_scheduler}",
            "remove one of the two",
        )
    if native.warmup_epochs >= train.num_epochs:
        yield (
            "native.warmup_epochs",
            f"{native.warmup_epochs:g} of {train.num_epochs} epochs (train.num_epochs)",
            "leave epochs after the warm-up",
        )
    for task, mode in (("evaluate", "video_eval_mode"), ("inference", "video_inf_mode")):
        if native.test_segments and spec[task][mode] != "center":
            yield (
                "native.test_segments",
                f"{native.test_segments} with {task}.{mode}: {spec[task][mode]}",
                f"remove one of the two; with test_segments {task}.{mode} is center",
            )
