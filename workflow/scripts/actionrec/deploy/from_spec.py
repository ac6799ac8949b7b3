"""What a TAO spec says about the use of its model. The plan asks this: it loads nothing heavy."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actionrec.native.streams import CHANNELS, stream_lengths

if TYPE_CHECKING:
    from omegaconf import DictConfig

CHANNEL_NAMES = {"rgb": ["red", "green", "blue"], "of": ["u, to the right", "v, downwards"]}


def description(spec: "DictConfig", labels: Sequence[str]) -> dict[str, Any]:
    """Return the `model_card.Description` of a spec's network as plain values."""
    model = spec.model
    return {
        "inputs": [
            _input(spec, stream, frames) for stream, frames in stream_lengths(model).items()
        ],
        "resize": _resize(spec),
        "labels": list(labels),
        "strategy": model.sample_strategy,
        "rate": model.sample_rate,
    }


def clip_selection(spec: "DictConfig", overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return mode and segments by which videos are predicted, as specs/inference.yaml has them."""
    if spec.native.test_segments:
        return {"mode": "segments", "segments": spec.native.test_segments}
    chosen = overrides.get("inference") or {}
    return {
        "mode": chosen.get("video_inf_mode", spec.evaluate.video_eval_mode),
        "segments": chosen.get("video_num_segments", spec.evaluate.video_num_segments),
    }


def _input(spec: "DictConfig", stream: str, frames: int) -> dict[str, Any]:
    model, augmentation = spec.model, spec.dataset.augmentation_config
    channels, size = CHANNELS[stream], [model.input_height, model.input_width]
    flat = model.input_type == "2d"
    return {
        "name": f"input_{stream}",
        "stream": stream,
        "shape": [channels * frames, *size] if flat else [channels, frames, *size],
        "layout": "N(CT)HW" if flat else "NCTHW",
        "channels": CHANNEL_NAMES[stream],
        "frames": frames,
        "mean": _by_channel(augmentation[f"{stream}_input_mean"], channels),
        "std": _by_channel(augmentation[f"{stream}_input_std"], channels),
    }


def _by_channel(values: Sequence[float], channels: int) -> list[float]:
    """Return a value for each channel; one value is for all."""
    return list(values) * channels if len(values) == 1 else list(values)


def _resize(spec: "DictConfig") -> dict[str, Any]:
    augmentation = spec.dataset.augmentation_config
    found: dict[str, Any] = {"width": spec.model.input_width, "height": spec.model.input_height}
    if not augmentation.val_center_crop:
        return found | {"rule": "stretch"}
    edge = augmentation.crop_smaller_edge
    return found | {"rule": "shorter_edge_and_centre_crop", "shorter_edge": edge}
