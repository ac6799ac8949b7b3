"""The section `experiments`: what is trained, on which classes, from which weights."""

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from actionrec.config.models.section import Keys, PathText, Section, Shown, Text, one_of_forms

ExperimentName = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
SweepKey = Annotated[str, Field(pattern=r"^[A-Za-z_]+(\.[A-Za-z_]+)+$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$"), Shown("64 hexadecimal digits")]
_NAME = "[A-Za-z0-9][A-Za-z0-9_.-]*"
NGC_MODEL = rf"^({_NAME}/){{1,2}}{_NAME}:{_NAME}$"
NGC_FILE = rf"^{_NAME}\.(tlt|pth)$"
# PyTorch's own weights: r3d_18 was trained on Kinetics-400, the others on ImageNet. The eight
# digits in a file's name are the first of its SHA-256.
TORCHVISION = {
    "r3d_18": "r3d_18-b3b3357e.pth",
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "resnet152": "resnet152-394f9c45.pth",
}
PRETRAINED_FORMS = (
    "null, {experiment: NAME}, {path: FILE}, {url: ADDRESS, sha256: SUM}, "
    f"{{torchvision: {', '.join(TORCHVISION)}}}, "
    "{ngc: ORG/TEAM/MODEL:VERSION, file: NAME.tlt or NAME.pth}, "
    "or for a joint network {rgb: ..., of: ...} with one of these each"
)


class FromExperiment(Section):
    """The model of another experiment, on the same split."""

    experiment: str


class FromFile(Section):
    """A file."""

    path: PathText


class FromUrl(Section):
    """A download."""

    url: Text
    sha256: Sha256


class FromNgc(Section):
    """A file of a model on NVIDIA's NGC."""

    ngc: Annotated[str, Field(pattern=NGC_MODEL)]
    file: Annotated[str, Field(pattern=NGC_FILE)]
    sha256: Sha256 | None = None


class FromTorchvision(Section):
    """A file of PyTorch's model site."""

    torchvision: Annotated[str, Field(pattern=f"^({'|'.join(TORCHVISION)})$")]


def _kind(source: Any) -> str:
    """Return the key that tells one source of weights from another."""
    if source is None:
        return "none"
    kinds = ("experiment", "path", "url", "ngc", "torchvision")
    return next((kind for kind in kinds if kind in _keys(source)), "unknown")


def _keys(source: Any) -> Collection[str]:
    """Return the keys of a section as it is written, or as it was read; of other values none."""
    return source if isinstance(source, dict) else getattr(source, "model_fields_set", ())


WeightsSource = Annotated[
    Annotated[None, Tag("none")]
    | Annotated[FromExperiment, Tag("experiment")]
    | Annotated[FromFile, Tag("path")]
    | Annotated[FromUrl, Tag("url")]
    | Annotated[FromNgc, Tag("ngc")]
    | Annotated[FromTorchvision, Tag("torchvision")],
    Discriminator(_kind),
]


class FromEachStream(Section):
    """Weights of each stream of a joint network."""

    rgb: WeightsSource = None
    of: WeightsSource = None


def _has_streams(source: Any) -> str:
    return "streams" if {"rgb", "of"} & set(_keys(source)) else "whole"


Pretrained = Annotated[
    Annotated[WeightsSource, Tag("whole")] | Annotated[FromEachStream, Tag("streams")],
    Discriminator(_has_streams),
]


class BudgetConfig(Section):
    """After so many epochs only the best few experiments of a sweep train on, on each split."""

    epochs: Annotated[int, Field(ge=1)]
    """Epochs of every experiment's trial."""
    keep: Annotated[int, Field(ge=1)]
    """How many experiments train on."""


class ExperimentConfig(Section):
    """One experiment: it runs on every split and gets a row in the summary."""

    classes: Annotated[
        list[str] | None,
        Field(min_length=2, json_schema_extra={"uniqueItems": True}),
        Shown("a list of the dataset's classes", "all"),
    ] = None
    """The classes to recognise; label ids follow this order."""
    pretrained: Annotated[
        Pretrained, one_of_forms(PRETRAINED_FORMS), Shown("see below", "random weights")
    ] = None
    """The weights to start from."""
    spec: Annotated[Keys, Shown("keys of [spec](#spec)")] = Field(default_factory=dict)
    """TAO's keys of this experiment, on top of the shared ones."""
    native: Annotated[Keys, Shown("keys of [native](#native)")] = Field(default_factory=dict)
    """Settings of the native engine for this experiment, on top of the shared ones."""
    sweep: Annotated[
        dict[SweepKey, Annotated[list[Any], Field(min_length=1)]] | None,
        Field(min_length=1),
        Shown("keys with lists of values"),
    ] = None
    """Dotted spec keys, each with a list of values; every combination becomes an experiment.

    [Sweeps](../docs/sweeps.md) shows how they are named, compared and ended early.
    """
    budget: Annotated[BudgetConfig | None, Shown("`{epochs: 5, keep: 2}`")] = None
    """Of a sweep: after so many `epochs`, only the best `keep` experiments train on.

    See [budgets](../docs/sweeps.md#budgets).
    """
