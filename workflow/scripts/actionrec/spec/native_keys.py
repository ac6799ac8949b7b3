"""What the native engine offers beyond TAO: the spec's own section `native`.

With the defaults a training is TAO's. Loads nothing heavy: the Snakefile checks these keys too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrec.spec.constraints import key
from actionrec.spec.errors import SpecError

if TYPE_CHECKING:
    from omegaconf import DictConfig

# The parts of a backbone, from the input on; the classifier is none of them. Of I3D, stem is all
# before Mixed_3b, layer1 Mixed_3, layer2 Mixed_4b to 4d, layer3 Mixed_4e and 4f, layer4 Mixed_5.
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
METRICS = ("train_loss", "train_acc_1", "val_loss", "val_acc_1")
TEST_KEYS = ("test_segments",)  # what evaluation and inference depend on; the rest is training's
# What may differ between a training and the one that resumes it.
EVERY_TASK = ("loader_timeout",)
CHANGEABLE_ON_RESUME = (*TEST_KEYS, *EVERY_TASK, "cuda_graphs", "stop_after")


@dataclass
class EarlyStopping:
    """End a training that no longer improves.

    Saves time when the number of epochs is a guess. A resumed training keeps its count.
    """

    patience: int | None = key(
        None, "End after so many epochs in which `monitor` did not improve; `null`: never.", low=1
    )
    monitor: str = key(
        "val_loss",
        "Metric to watch: a loss should fall, an accuracy (`acc_1`) rise.",
        allowed=METRICS,
    )


@dataclass
class RateFactors:
    """Factors of the learning rate for parts of the network.

    With pretrained weights the first layers often need smaller steps than the new classifier, whose
    factor is 1 (Howard and Ruder, "Universal Language Model Fine-tuning", 2018).
    """

    stem: float = key(1.0, "Factor for the first layer.", low=0)
    layer1: float = key(1.0, "Factor for the first stage of blocks.", low=0)
    layer2: float = key(1.0, "Factor for the second stage.", low=0)
    layer3: float = key(1.0, "Factor for the third stage.", low=0)
    layer4: float = key(1.0, "Factor for the last stage.", low=0)


@dataclass
class NativeConfig:
    """Precision, regularisation, schedules and sampling that TAO does not have.

    Every key that changes a result by more than rounding is off by default, so that a training is
    TAO's. The keys reach the spec file, as its section `native`, only if one of them is set. With
    any other `tao.runner` they are refused. A killed training resumes exactly with each of them,
    and the checkpoints stay TAO's.
    """

    precision: str = key(
        "tao",
        "Precision of training; `bf16` or `fp16` are the fastest on GPUs since Ampere.\n\n"
        "`tao`: float32 with PyTorch's defaults, as TAO trains; convolutions on NVIDIA GPUs then "
        "use TF32. `fp32`: no TF32, to compare with a CPU. `tf32`: TF32 in all products. `bf16`, "
        "`fp16`: mixed precision. `fp16` scales the loss and also suits older GPUs. On CPUs with "
        "AVX512_BF16 or AMX `bf16` is about one and a half times as fast as float32; `fp16` is "
        "slow there.",
        allowed=("tao", "fp32", "tf32", "bf16", "fp16"),
    )
    channels_last: bool | None = key(
        None,
        "Memory layout of the network; `null`: channels last on CPUs only.\n\n"
        "It is faster on CPUs, and on GPUs with `bf16` or `fp16`.",
    )
    cuda_graphs: bool = key(
        True,
        "Record the GPU kernels of a training step once, and launch them together.\n\n"
        "The GPU then need not wait for Python, which matters for clips of few frames. Results do "
        "not change. Graphs are not used where memory is short, nor with `mixup_alpha`.",
        changes_results=False,
    )
    ema_decay: float = key(
        0.0,
        "Use a moving average of the weights; 0: off, usual values are 0.9 to 0.9999.\n\n"
        "Validation, the choice of the checkpoint and the published model all use the average. "
        "It averages about the last 1 / (1 - decay) steps. It may help where validation jumps from "
        "epoch to epoch; on real videos 0.99 cost up to five points in trainings of 800 steps "
        "([recipes](../docs/recipes.md)).",
        low=0,
        high=0.999999,
    )
    label_smoothing: float = key(
        0.0,
        "Share of the target that is spread over all classes.\n\n"
        "It is meant against overconfidence and wrong labels. On real videos no gain was measured "
        "([recipes](../docs/recipes.md)).",
        low=0,
        high=0.999999,
    )
    mixup_alpha: float = key(
        0.0,
        "Mix each clip with another of its batch; 0: off, usual values are 0.1 to 1.\n\n"
        "The share is drawn from Beta(alpha, alpha). It is meant for trainings that overfit, and "
        "needs more epochs. On real videos no gain was measured ([recipes](../docs/recipes.md)).",
        low=0,
    )
    class_balanced: bool = key(
        False,
        "Let every class give equally many clips in an epoch.\n\n"
        "It helps when classes differ in size and the mean accuracy over classes matters.",
    )
    lr_schedule: str = key(
        "tao",
        "`tao`: `train.optim.lr_scheduler`. `cosine`: fall step by step to 0 at the last step.\n\n"
        "`cosine` starts from `train.optim.lr` and needs no milestones.",
        allowed=("tao", "cosine"),
    )
    warmup_epochs: float = key(
        0.0,
        "With `cosine`: epochs, or parts of one, in which the rate first rises from 0.\n\n"
        "It helps with high learning rates, large batches and random weights.",
        low=0,
    )
    freeze: list[str] = key(
        [],
        "Parts of the network that keep their pretrained weights: `stem`, `layer1` to `layer4`.\n\n"
        "Their batch normalisation keeps its statistics, too. A training step takes less time. "
        "On real videos no gain was measured ([recipes](../docs/recipes.md)).",
    )
    lr_factors: RateFactors = field(default_factory=RateFactors)
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    stop_after: int | None = key(
        None,
        "End after so many epochs, while schedules follow `train.num_epochs`; `null`: off.\n\n"
        "With the key removed, `python -m actionrec.native` resumes as if it had never stopped. "
        "The workflow retrains when a spec changes.",
        low=1,
    )
    test_segments: int = key(
        0,
        "Evaluation and inference average the scores of so many clips of a video; 0: off.\n\n"
        "The clips are spread evenly over the video. It helps for long videos, at as many times "
        "the cost; usual values are 3 to 25.",
        low=0,
    )
    loader_timeout: int = key(
        600,
        "Seconds without a new file after which a task gives up a process that reads frames; 0: "
        "never.\n\n"
        "A warning names the file after half a minute. A dead network drive would otherwise stop a "
        "training without a word.",
        low=0,
        changes_results=False,
    )


def epochs(spec: "DictConfig") -> int:
    """Return the epoch, from 1, that ends a training; its schedules see train.num_epochs."""
    return min(spec.train.num_epochs, spec.native.stop_after or spec.train.num_epochs)


def keys_of_task(native: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the keys that one task depends on; export depends on none."""
    if task == "train":
        return {key: value for key, value in native.items() if key not in TEST_KEYS}
    if task in ("evaluate", "inference"):
        return {key: value for key, value in native.items() if key in (*TEST_KEYS, *EVERY_TASK)}
    return {}


def check(spec: "DictConfig", where: Path | str) -> None:
    """Refuse settings that contradict each other or TAO's; `where` names the file."""
    for stage in spec.native.freeze:
        if stage not in STAGES:
            raise SpecError(
                "The network has no such part.",
                key="native.freeze",
                where=where,
                found=stage,
                allowed=STAGES,
            )
    for name, found, fix in _contradictions(spec):
        raise SpecError(
            "Two settings contradict each other.", key=name, where=where, found=found, fix=fix
        )


def _contradictions(spec: "DictConfig") -> Iterator[tuple[str, str, str]]:
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
