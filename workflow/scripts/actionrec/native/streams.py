"""The input streams of a network: RGB frames, optical flow, or both (a two-stream network)."""

from typing import Any

CHANNELS = {"rgb": 3, "of": 2}  # red, green, blue; motion to the right (u) and downwards (v)


def stream_lengths(model: Any) -> dict[str, int]:
    """Return how many frames a clip has in each stream of the spec's `model` section.

    The keys are "rgb", "of" (optical flow), or both in this order.
    """
    lengths = {"rgb": model.rgb_seq_length, "of": model.of_seq_length}
    if model.model_type == "joint":
        return lengths
    return {model.model_type: lengths[model.model_type]}
