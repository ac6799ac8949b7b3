"""The experiment spec of TAO Toolkit 7.3: its keys, types, defaults, options and explanations.

Names, types, defaults and order of the keys are those of NVIDIA's `action_recognition` 7.3.0;
`toolkits` knows what other versions call them, `load` reads and checks a spec, `render` writes one.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any

from actionrec.spec.constraints import CHANGES_NO_RESULT, key
from actionrec.spec.native_keys import NativeConfig

MISSING: Any = "???"  # OmegaConf's mark of a key that must be given; jobs need no OmegaConf here
STREAMS = ("rgb", "of", "joint")  # what weights are for: frames, flow, or both with their fusion


@dataclass
class WandbConfig:
    """Weights & Biases, to which a training is reported where WANDB_API_KEY is set.

    The native engine does so with the package `wandb`, which is not installed by default; with
    WANDB_MODE=offline it writes to the results folder.
    """

    enable: bool = key(True, "Report the training to Weights & Biases.")
    project: str = key("TAO Toolkit", "Name of the project.")
    entity: str | None = key("", "User or team that owns the project.")
    group: str | None = key("", "Group of runs that this run belongs to.")
    tags: list[str] = key(["training", "tao-toolkit"], "Tags of the run.")
    reinit: bool = key(False, "Allow several runs in one process.")
    sync_tensorboard: bool = key(False, "Copy what goes to TensorBoard.")
    save_code: bool = key(False, "Upload the training script.")
    name: str = key("TAO Toolkit training experiment", "Name of the run.")
    run_id: str = key("", "Id of the run, to continue one.")


@dataclass
class ModelConfig:
    """The network, the clips it sees and the weights it starts from."""

    model_type: str = key(
        "rgb",
        "What the network sees: `rgb` frames, `of` optical flow, `joint` both.\n\n"
        "A `joint` network is one network for each stream, joined by two last layers. NVIDIA's "
        "TAO 7.3 evaluates and exports it, but fails to train it; the native engine trains it.",
        allowed=STREAMS,
    )
    backbone: str = key(
        "resnet_18",
        "Network that computes the features.\n\n"
        "`i3d` needs `input_type: 3d` and clips of 9 frames of 193 x 193 pixels or more.",
        allowed=("resnet_18", "resnet_34", "resnet_50", "resnet_101", "resnet_152", "i3d"),
    )
    input_type: str = key(
        "2d",
        "`2d`: the frames of a clip are stacked as channels. `3d`: convolution over time.",
        allowed=("2d", "3d"),
    )
    of_seq_length: int = key(
        10, "Number of flow images in a clip, each a pair of `u` and `v`.", low=1
    )
    of_pretrained_model_path: str | None = key(None, "Weights that the flow stream starts from.")
    of_pretrained_num_classes: int = key(5, "Number of classes of these weights.", low=0)
    rgb_seq_length: int = key(3, "Number of frames in a clip.", low=1)
    rgb_pretrained_model_path: str | None = key(None, "Weights that the RGB stream starts from.")
    rgb_pretrained_num_classes: int = key(5, "Number of classes of these weights.", low=0)
    num_fc: int = key(64, "Width of the layer that joins the two streams of `joint`.", low=1)
    joint_pretrained_model_path: str | None = key(None, "Weights that a whole `joint` starts from.")
    sample_strategy: str = key(
        "random_interval",
        "`random_interval`: spread over the video. `consecutive`: `sample_rate` frames apart.\n\n"
        "As in TAO `random_interval` trains on a whole multiple of the clip's length: of a video "
        "of 60 frames a clip of 32 sees the first 32 alone, one of 8 the first 56.",
        allowed=("random_interval", "consecutive"),
    )
    sample_rate: int = key(
        1, "With `consecutive`: the distance between two frames of a clip.", low=1
    )
    imagenet_pretrained: bool = key(
        False,
        "Start from ImageNet weights that TAO downloads.\n\n"
        "The native engine has them by `pretrained: {torchvision: NAME}`, or from a file.",
    )
    dropout_ratio: float = key(0.5, "Probability of dropout before the last layer.", low=0, high=1)
    input_width: int = key(224, "Width of the network's input, in pixels.", low=1)
    input_height: int = key(224, "Height of the network's input, in pixels.", low=1)


@dataclass
class AugmentationConfig:
    """How frames are cropped, flipped and normalised."""

    train_crop_type: str = key(
        "random_crop",
        "How training frames get the input size: by a crop, or by resizing alone (`no_crop`).\n\n"
        "All frames of a clip are cropped alike. `random_crop` resizes the smaller edge to "
        "`crop_smaller_edge` and cuts out the input size at a random place. `multi_scale_crop` "
        "resizes alike, cuts out a random size of `scales` at one of 13 places (corners, edges, "
        "centre and between them), and resizes that. `no_crop` resizes the whole frame.",
        allowed=("random_crop", "multi_scale_crop", "no_crop"),
    )
    scales: list[float] = key(
        [1.0],
        "With `multi_scale_crop`: sizes of the crop, as shares of the smaller edge.",
        low=1e-6,
    )
    horizontal_flip_prob: float = key(
        0.5,
        "Probability that a training clip is mirrored left to right, all of its frames alike.\n\n"
        "Set it to 0 where classes differ in left and right. Flow keeps its signs, as in TAO.",
        low=0,
        high=1,
    )
    rgb_input_mean: list[float] = key(
        [0.485, 0.456, 0.406], "Mean of the pixels (0 to 1), for all channels or for each."
    )
    rgb_input_std: list[float] = key(
        [0.229, 0.224, 0.225],
        "Standard deviation of the pixels, for all channels or for each.",
        low=1e-6,
    )
    of_input_mean: list[float] = key([0.5], "Mean of the flow, for `u` and `v` alike or for each.")
    of_input_std: list[float] = key(
        [0.5], "Standard deviation of the flow, for `u` and `v` alike or for each.", low=1e-6
    )
    val_center_crop: bool = key(
        False,
        "Crop the centre in validation, evaluation and inference, in place of resizing alone.",
    )
    crop_smaller_edge: int = key(
        256, "Length in pixels to which the smaller edge is resized before a crop.", low=1
    )


@dataclass
class DatasetConfig:
    """Where the videos are, what their classes are called and how they are loaded."""

    train_dataset_dir: str | None = key(None, "Folder of the training videos.")
    val_dataset_dir: str | None = key(None, "Folder of the validation videos.")
    label_map: dict[str, int] | None = key(None, "Id of each class.")
    batch_size: int = key(2, "Clips in a training step, on each GPU.", low=1)
    workers: int = key(
        8,
        "Processes of a data loader.\n\n"
        "The native engine starts no more than there are cores, and for evaluation and inference "
        "on a GPU as many, up to 32, unless this is 0. On a CPU these two start none, as each core "
        "reads the clips that it scores.",
        low=0,
        changes_results=False,
    )
    clips_per_video: int = key(1, "Clips that each training video gives in an epoch.", low=1)
    augmentation_config: AugmentationConfig = field(default_factory=AugmentationConfig)


@dataclass
class CudnnConfig:
    """How cuDNN chooses its algorithms."""

    benchmark: bool = key(False, "Try several algorithms and take the fastest.")
    deterministic: bool = key(True, "Take deterministic algorithms only.")


@dataclass
class CheckpointerConfig:
    """The best checkpoints by a metric, next to or instead of the periodic ones; new in 7.3."""

    enable_topk: bool = key(False, "Keep the best checkpoints.")
    replace_periodic: bool = key(False, "Save these alone, and none every `checkpoint_interval`.")
    monitor: str | None = key(None, "Metric that is compared; without one `val_loss`.")
    mode: str | None = key(
        None,
        "Whether the metric should fall (`min`, also when not set) or rise (`max`).",
        allowed=("min", "max"),
    )
    save_top_k: int = key(1, "How many are kept; -1: all.", low=-1)
    filename: str = key("model_best_{epoch:03d}", "Pattern of their names.")
    dirpath: str | None = key(None, "Their folder.")
    auto_insert_metric_name: bool = key(False, "Put the metrics' names into the file names.")


@dataclass
class OptimConfig:
    """SGD and its learning-rate schedule."""

    lr: float = key(0.0005, "Learning rate at the start.", low=0)
    momentum: float = key(0.9, "Momentum of SGD.", low=0)
    weight_decay: float = key(0.0005, "Weight decay (L2 penalty).", low=0)
    lr_scheduler: str = key(
        "MultiStep",
        "`MultiStep`: decay at the epochs `lr_steps`. `AutoReduce`: when `lr_monitor` stalls.\n\n"
        "They are PyTorch's `MultiStepLR` and `ReduceLROnPlateau`. The native engine also has "
        "[`native.lr_schedule: cosine`](#native).",
        allowed=("MultiStep", "AutoReduce"),
    )
    lr_monitor: str = key(
        "val_loss", "With `AutoReduce`: the metric to watch.", allowed=("val_loss", "train_loss")
    )
    patience: int = key(
        1, "With `AutoReduce`: epochs without improvement before the rate is reduced.", low=0
    )
    min_lr: float = key(0.0001, "With `AutoReduce`: the lowest learning rate.", low=0)
    lr_steps: list[int] = key([15, 25], "With `MultiStep`: the epochs of the decay.", low=0)
    lr_decay: float = key(
        0.1, "Factor by which the learning rate is multiplied at each decay.", low=0
    )


@dataclass
class TrainConfig:
    """How long to train, how to optimise and what to save."""

    num_gpus: int = key(
        1,
        "Number of GPUs.\n\n"
        "If `gpu_ids` names more GPUs than `num_gpus`, or fewer, the larger number counts, as in "
        "TAO; missing ids become 0, 1, ... See [several GPUs](../docs/multi-gpu.md).",
        low=1,
    )
    gpu_ids: list[int] = key([0], "Which of the GPUs that the job sees, counted from 0.")
    num_nodes: int = key(
        1,
        "Machines, with `num_gpus` GPUs each.\n\n"
        "The native engine trains on [several machines](../docs/multi-gpu.md#several-machines) "
        "with the profile of Slurm.",
        low=1,
    )
    seed: int = key(1234, "Seed of the random numbers.", low=0)
    cudnn: CudnnConfig = field(default_factory=CudnnConfig)
    num_epochs: int = key(10, "Number of epochs.", low=1)
    checkpoint_interval: int = key(
        1,
        "Epochs (or steps) between two checkpoints; at most `num_epochs`.\n\n"
        "The workflow keeps the best checkpoint and the last.",
        low=1,
    )
    checkpoint_interval_unit: str = key(
        "epoch", "Unit of `checkpoint_interval`.", allowed=("epoch", "step")
    )
    validation_interval: int = key(1, "Epochs between two validations.", low=1)
    resume_training_checkpoint_path: str | None = key(None, "Checkpoint to resume from.")
    results_dir: str | None = key(None, "Folder of the results; by default results_dir/train.")
    checkpointer: CheckpointerConfig = field(default_factory=CheckpointerConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    clip_grad_norm: float = key(0.0, "Largest norm of the gradients; 0: no limit.", low=0)


@dataclass
class EvaluateConfig:
    """Which checkpoint is evaluated on which videos."""

    num_gpus: int = key(1, "Number of GPUs, as for `train`.", low=1)
    gpu_ids: list[int] = key([0], "Which GPUs, as for `train`.")
    num_nodes: int = key(1, "Machines.", low=1)
    checkpoint: str = key(MISSING, "Checkpoint that is evaluated.")
    trt_engine: str | None = key(None, "TensorRT engine in place of a checkpoint.")
    results_dir: str | None = key(None, "Folder of the results; by default results_dir/evaluate.")
    batch_size: int = key(
        1,
        "Clips in a batch.\n\n"
        "No result depends on it. The native engine takes up to 64 clips, or as many as you set if "
        "that is more, and fewer where memory is short or where a CPU is slower with more.",
        low=1,
        changes_results=False,
    )
    test_dataset_dir: str = key(MISSING, "Folder of the test videos.")
    video_eval_mode: str = key(
        "center",
        "Clips of a video: `center`: one. `conv`: `video_num_segments`. `all`: every frame.",
        allowed=("center", "conv", "all"),
    )
    video_num_segments: int = key(10, "With `conv`: clips of a video.", low=1)


@dataclass
class ExportConfig:
    """Which checkpoint becomes which ONNX file."""

    checkpoint: str = key(MISSING, "Checkpoint that is exported.")
    results_dir: str | None = key(None, "Folder of the results; by default results_dir/export.")
    onnx_file: str | None = key(None, "The exported file.")
    gpu_id: int = key(0, "GPU that exports.", changes_results=False)
    batch_size: int = key(1, "Not used: the exported model takes batches of any size.")


@dataclass
class InferenceConfig:
    """Which checkpoint predicts which videos.

    Inference sees the clips that evaluation scores, unless `video_inf_mode` or
    `video_num_segments` is set.
    """

    num_gpus: int = key(1, "Number of GPUs, as for `train`.", low=1)
    gpu_ids: list[int] = key([0], "Which GPUs, as for `train`.")
    num_nodes: int = key(1, "Machines.", low=1)
    checkpoint: str = key(MISSING, "Checkpoint that predicts.")
    trt_engine: str | None = key(None, "TensorRT engine in place of a checkpoint.")
    results_dir: str | None = key(None, "Folder of the results; by default results_dir/inference.")
    batch_size: int = key(1, "Clips in a batch, as for `evaluate`.", low=1, changes_results=False)
    inference_dataset_dir: str = key(MISSING, "Folder of the videos to predict.")
    video_inf_mode: str = key(
        "center",
        "Clips of a video, as `evaluate.video_eval_mode`.",
        allowed=("center", "conv", "all"),
    )
    video_num_segments: int = key(1, "With `conv`: clips of a video.", low=1)


@dataclass
class Spec:
    """A whole experiment: every key of TAO 7.3, in TAO's order, then the native engine's own."""

    model_name: str | None = key(
        None, "Name of the model in TAO's services; nothing here reads it."
    )
    encryption_key: str | None = key(None, "Key that checkpoints are encrypted with.")
    results_dir: str | None = key("", "Folder of all results.")
    wandb: WandbConfig = field(default_factory=WandbConfig, metadata=CHANGES_NO_RESULT)
    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    native: NativeConfig = field(default_factory=NativeConfig)


@cache
def _defaults() -> Spec:
    return Spec()


def default_of(name: str) -> Any:
    """Return the default of a key by its dotted name, such as model.backbone."""
    return attrgetter(name)(_defaults())


def type_of(name: str) -> Any:
    """Return the type of a key by its dotted name, such as str or list[int]; None if unknown."""
    found: Any = Spec
    for part in name.split("."):
        types = {item.name: item.type for item in fields(found)} if is_dataclass(found) else {}
        found = types.get(part)
    return found
