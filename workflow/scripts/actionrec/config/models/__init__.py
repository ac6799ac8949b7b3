"""The keys of the configuration: types, defaults, allowed values and explanations.

One module for each section. The docstring below a key explains it: the first paragraph stands in
the tables of config/README.md, others below them. `make docs` writes those and the JSON schema.
"""

from typing import Annotated

from pydantic import Field

from actionrec.config.models.dataset import DatasetConfig
from actionrec.config.models.experiments import ExperimentConfig, ExperimentName
from actionrec.config.models.export import ExportConfig, PredictConfig
from actionrec.config.models.flow import FlowConfig
from actionrec.config.models.frames import FramesConfig
from actionrec.config.models.section import Keys, Section
from actionrec.config.models.splits import SplitsConfig
from actionrec.config.models.tao import TaoConfig
from actionrec.config.models.tracking import TrackingConfig


class Config(Section):
    """The whole configuration."""

    dataset: DatasetConfig
    frames: FramesConfig = Field(default_factory=FramesConfig)
    flow: FlowConfig = Field(default_factory=FlowConfig)
    splits: SplitsConfig = Field(default_factory=SplitsConfig)
    tao: TaoConfig = Field(default_factory=TaoConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)
    predict: PredictConfig = Field(default_factory=PredictConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    spec: Keys = Field(default_factory=dict)
    """Keys of TAO's spec that all experiments share.

    No value reads the environment; `${train.num_epochs}` stands for the value of another key.
    """
    native: Keys = Field(default_factory=dict)
    """Settings of the native engine that all experiments share."""
    experiments: Annotated[dict[ExperimentName, ExperimentConfig], Field(min_length=1)]
    """Experiments by name."""
