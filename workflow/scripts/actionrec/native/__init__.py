"""A drop-in for TAO's `action_recognition` command: `python -m actionrec.native`.

Imported as it is by the Snakefile, so it loads nothing heavy.
"""

from typing import Any

from actionrec.errors import InputError

MODEL_TYPES = ("rgb",)
BACKBONES = ("resnet_18", "resnet_34", "resnet_50", "resnet_101", "resnet_152")


def refuse_unknown(model: Any, where: str = "spec") -> None:
    """Raise `InputError` unless this engine has the network of the spec's `model` section.

    `where` names the spec in the message.
    """
    for key, known in (("model_type", MODEL_TYPES), ("backbone", BACKBONES)):
        if model[key] not in known:
            raise InputError(
                "The native engine does not have this network yet.",
                where=f"{where}: model.{key}",
                found=model[key],
                allowed=known,
                fix="choose one of these, or run NVIDIA's own code with tao.runner: direct",
            )
    if model.imagenet_pretrained:
        raise InputError(
            "The native engine downloads no ImageNet weights.",
            where=f"{where}: model.imagenet_pretrained",
            found=True,
            fix="give a file in model.rgb_pretrained_model_path",
        )
