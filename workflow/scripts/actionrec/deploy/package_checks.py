"""Which deployment packages an experiment can have. The plan asks this: it loads nothing heavy."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from actionrec.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def check_packages(
    config: Mapping[str, Any], specs: Mapping[str, "DictConfig"], exported: str
) -> None:
    """Raise `InputError` for a package that an experiment's network or toolkit cannot have."""
    export, predict = config["export"], config["predict"]
    wanted = [name for name in ("deepstream", "triton", "tensorrt") if export[name]]
    if exported != "model.onnx":
        wanted += ["predict.videos"] if predict["videos"] else []
        if wanted or export["softmax"] or export["precision"] == "fp16":
            raise InputError(
                "Before 5.0.0, TAO exports no ONNX file: there is nothing to make packages of.",
                where=f"tao.toolkit, {', '.join(wanted) or 'export'}",
                found=config["tao"]["toolkit"],
                fix="leave these keys out, or use a toolkit from 5.0.0 on",
            )
        return
    if export["deepstream"]:
        for name, spec in specs.items():
            _require_rgb(name, spec)
    for name in predict["experiments"] or ():
        if name not in config["experiments"]:
            raise InputError(
                "There is no such experiment to predict with.",
                where="predict.experiments",
                found=name,
                allowed=config["experiments"],
            )


def _require_rgb(name: str, spec: "DictConfig") -> None:
    if spec.model.model_type != "rgb":
        raise InputError(
            "DeepStream cannot run a network that sees optical flow: its preprocessing makes clips "
            "of colour frames only.",
            where=f"export.deepstream, experiment {name}: model.model_type",
            found=spec.model.model_type,
            allowed=["rgb"],
            fix="leave export.deepstream out; export.triton and `actionrec predict` take it",
        )
    if spec.dataset.augmentation_config.val_center_crop:
        raise InputError(
            "DeepStream scales whole frames: it cannot crop their centre as this network expects.",
            where=f"export.deepstream, experiment {name}: augmentation_config.val_center_crop",
            found=True,
            allowed=[False],
            fix="leave export.deepstream out, or train with val_center_crop: false",
        )
