"""The experiment spec of TAO Toolkit 7.3: its schema, and how specs are read, checked and written.

Names, types, defaults and order of the keys are those of NVIDIA's `action_recognition` 7.3.0;
`generations` knows what other toolkits call them.
Unknown keys and wrong types are refused as TAO refuses them; values outside a key's options
or range, which TAO accepts and trips over later, are refused here too.
"""

from dataclasses import dataclass, field

from omegaconf import MISSING

from actionrec.spec.constraints import one_of, span, within
from actionrec.spec.native_keys import NativeConfig

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
