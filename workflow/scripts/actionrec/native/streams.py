"""The input streams of a network: RGB frames, optical flow, or both (a two-stream network)."""

from typing import TYPE_CHECKING, Any

from actionrec.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

CHANNELS = {"rgb": 3, "of": 2}  # red, green, blue; motion to the right (u) and downwards (v)
# Smaller clips leave I3D's last pooling nothing.
I3D_MIN_FRAMES, I3D_MIN_SIDE = 9, 193


def stream_lengths(model: Any) -> dict[str, int]:
    """Return how many frames a clip has in each stream of the spec's `model` section.

    The keys are "rgb", "of" (optical flow), or both in this order.
    """
    lengths = {"rgb": model.rgb_seq_length, "of": model.of_seq_length}
    if model.model_type == "joint":
        return lengths
    return {model.model_type: lengths[model.model_type]}


def check_clips(model: "DictConfig", where: str = "spec") -> None:
    """Raise `InputError` unless the backbone can take the clips of the spec's `model` section.

    It is asked at plan time too, so this module does not load PyTorch. `where` names the spec.
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
    minimum = {f"{stream}_seq_length": I3D_MIN_FRAMES for stream in stream_lengths(model)}
    minimum |= {"input_height": I3D_MIN_SIDE, "input_width": I3D_MIN_SIDE}
    for key, least in minimum.items():
        if model[key] < least:
            raise InputError(
                "The clips are too short or too small for the backbone i3d.",
                where=f"{where}: model.{key}",
                found=model[key],
                allowed=f"{least} or more",
                fix=f"raise model.{key} (the public weights were trained at 224 x 224 pixels), "
                "or choose a resnet backbone",
            )
