"""Run NVIDIA's own training; record what it draws at random, and the loss of each step.

For `same_losses.py`, in the Python that has nvidia_tao_pytorch. Its files stay as they are. The
record is JSON: `clips`, in the order of the training, each with its video, its frames and what was
drawn for its crop and flip; and `losses`.

    python record_nvidia.py SPEC RECORD
"""

import json
import os
import random
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PACKAGE = "nvidia_tao_pytorch.cv.action_recognition"


def main() -> None:
    """Train by a spec, whose dataset.workers is 0: clips are then cut in order, in this process."""
    spec, record = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    # As NVIDIA's command starts its script.
    os.environ["TAO_VISIBLE_DEVICES"] = "0"
    sys.argv = ["train", "--config-path", str(spec.parent), "--config-name", spec.name]
    clips: list[dict[str, Any]] = []
    losses: list[float] = []
    record_draws(clips)
    record_losses(losses)
    try:
        runpy.run_module(f"{PACKAGE}.scripts.train", run_name="__main__")
    finally:
        record.write_text(json.dumps({"clips": clips, "losses": losses}))


def record_draws(clips: list[dict[str, Any]]) -> None:
    """Append each training clip to `clips` as it is cut."""
    from nvidia_tao_pytorch.cv.action_recognition.dataloader.ar_dataset import SpatialDataset
    from nvidia_tao_pytorch.cv.action_recognition.utils import group_transforms

    get_frames = SpatialDataset.get_frames

    def recorded(self: Any, sample_path: str, img_ids: Any) -> Any:
        if self.mode == "train":
            video = "/".join(Path(sample_path).parts[-2:])
            clips.append({"video": video, "frames": [int(i) for i in img_ids], "draws": []})
        return get_frames(self, sample_path, img_ids)

    def noted(draw: Any) -> Any:
        def call(*arguments: Any) -> Any:
            value = draw(*arguments)
            clips[-1]["draws"].append(value)
            return value

        return call

    SpatialDataset.get_frames = recorded
    group_transforms.random = SimpleNamespace(
        randint=noted(random.randint), random=noted(random.random)
    )


def record_losses(losses: list[float]) -> None:
    """Append the loss of each training step to `losses`."""
    from nvidia_tao_pytorch.cv.action_recognition.model.pl_ar_model import ActionRecognitionModel

    step = ActionRecognitionModel.training_step

    def recorded(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = step(self, batch, batch_idx)
        losses.append(loss.item())
        return loss

    ActionRecognitionModel.training_step = recorded


if __name__ == "__main__":
    main()
