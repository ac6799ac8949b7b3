"""A drop-in for TAO's `action_recognition` command: `python -m actionrec.native`.

Imported as it is by the Snakefile, so it loads nothing heavy.
"""

from typing import Any

from actionrec.errors import InputError

I3D_FRAMES, I3D_SIDE = 9, 193  # the shortest and smallest clip that I3D's last pooling leaves


def streams(model: Any) -> dict[str, int]:
    """Return what the network of the spec's `model` section sees, with the frames of a clip.

    The keys are "rgb", "of" (optical flow), or both in this order.
    """
    lengths = {"rgb": model.rgb_seq_length, "of": model.of_seq_length}
    if model.model_type == "joint":
        return lengths
    return {model.model_type: lengths[model.model_type]}


def refuse_unknown(model: Any, where: str = "spec") -> None:
    """Raise `InputError` unless there is a network as the spec's `model` section describes it.

    `where` names the spec in the message.
    """
    if model.backbone != "i3d":
        return
    if model.input_type != "3d":
        raise InputError(
            "The backbone i3d takes clips, not stacked frames.",
            where=f"{where}: model.input_type",
            found=model.input_type,
            allowed=["3d"],
            fix='set model.input_type: "3d", or choose a resnet backbone',
        )
    least = {f"{stream}_seq_length": I3D_FRAMES for stream in streams(model)}
    least |= {"input_height": I3D_SIDE, "input_width": I3D_SIDE}
    for key, bound in least.items():
        if model[key] < bound:
            raise InputError(
                "The clips are too short or too small for the backbone i3d.",
                where=f"{where}: model.{key}",
                found=model[key],
                allowed=[f"{bound} or more"],
                fix=f"raise model.{key} (the public weights were trained at 224 x 224 pixels), "
                "or choose a resnet backbone",
            )
