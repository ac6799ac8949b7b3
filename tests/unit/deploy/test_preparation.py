"""The pixels of a clip are those of the workflow's frames, bit for bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from actionrec.deploy import from_spec
from actionrec.deploy.model_card import Description, ModelCard, read_card
from actionrec.deploy.preparation import Preparation
from actionrec.deploy.reading import frames_clips, read_clips
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.encoders import ImageFormat
from actionrec.frames.extraction import extract_class, extract_segments
from actionrec.frames.flow import FlowSettings, extract_flow
from actionrec.frames.segments import (
    Crop,
    FrameSource,
    Segment,
    read_frame_sources,
    write_crops,
    write_segments,
)
from actionrec.frames.videos import write_files_table
from actionrec.native.data import transforms
from actionrec.native.data.datasets import EvalDataset, eval_dataloader
from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.videos import list_videos
from actionrec.spec.load import make_spec
from helpers import write_video
from helpers.exports import make_export

FLOW = FlowSettings("dis", "medium", "max_rad")
CASES = {
    "3d": {},
    "2d": {"input_type": "2d"},
    "consecutive": {"sample_strategy": "consecutive", "sample_rate": 2},
    "flow": {"model_type": "of", "of_seq_length": 5},
    "joint": {"model_type": "joint", "of_seq_length": 3},
    "joint, consecutive": {
        "model_type": "joint",
        "of_seq_length": 4,
        "sample_strategy": "consecutive",
    },
    "centre crop": {"crop": True},
    "several clips": {"mode": "conv"},
    "jpg": {"format": ImageFormat("jpg", "cv2", 80)},
    "stored in the network's size": {"format": ImageFormat("png", "fpng", 95, (40, 32))},
}


CROPPED = {
    "rgb": {},
    "flow": {"model_type": "of", "of_seq_length": 5},
    "joint": {"model_type": "joint", "of_seq_length": 3},
    "joint, centre crop": {"model_type": "joint", "of_seq_length": 3, "crop": True},
    "joint, small frames": {
        "model_type": "joint",
        "of_seq_length": 3,
        "format": ImageFormat("jpg", "cv2", 90, (40, 32)),
    },
}


def frames_of(folder: Path, form: ImageFormat) -> Path:
    """Extract frames and flow of a video as the workflow does; return the video."""
    video = write_video(folder / "videos/a.avi", frames=21, width=70, height=50)
    write_files_table(folder / "videos.tsv", [video])
    extract_class(
        video.parent, folder / "videos.tsv", folder / "frames", folder / "f.tsv", image_format=form
    )
    extract_flow(folder / "frames", folder / "f.tsv", folder / "flow.tsv", FLOW)
    return video


def cropped_frames(folder: Path, form: ImageFormat) -> FrameSource:
    """Extract frames and flow of pictures cropped out of a video; return their source."""
    video = write_video(folder / "videos/whole.avi", frames=21, width=140, height=100)
    write_segments(folder / "s.tsv", [Segment("a", str(video), video.stat().st_size)])
    # As of two glued parts, in frames of half the size: a person who moves, then two of one frame.
    of_frame = [3, 4, 5, 6, 7, 12, 13, 13, 14, 15]
    boxes = [(i, 2, i + 40, 46) for i in range(8)] + [(20, 4, 60, 44), (21, 4, 61, 44)]
    crops = [
        Crop("a", image, frame, 70, 50, *box)
        for image, (frame, box) in enumerate(zip(of_frame, boxes, strict=True), 1)
    ]
    write_crops(folder / "c.tsv", crops)
    tables = folder / "s.tsv", folder / "c.tsv"
    extract_segments(*tables, folder / "frames", folder / "f.tsv", image_format=form)
    sources = read_frame_sources(*tables)
    extract_flow(folder / "frames", folder / "f.tsv", folder / "flow.tsv", FLOW, cropped=sources)
    return sources["a"]


@pytest.mark.parametrize("case", CASES)
def test_a_clip_from_the_video_is_the_engines_bit_for_bit(case, tmp_path):
    options = dict(CASES[case])
    form = options.pop("format", ImageFormat("png", "fpng", 95))
    video = frames_of(tmp_path, form)
    compare_with_engine(FrameSource(video, video.name), tmp_path / "frames", form, **options)


@pytest.mark.parametrize("case", CROPPED)
def test_a_clip_of_pictures_cropped_out_of_a_video_is_the_engines_too(case, tmp_path):
    options = dict(CROPPED[case])
    form = options.pop("format", ImageFormat("png", "fpng", 95))
    source = cropped_frames(tmp_path, form)
    compare_with_engine(source, tmp_path / "frames", form, **options)


def test_a_video_that_ends_before_its_last_picture_is_named(tmp_path):
    source = cropped_frames(tmp_path, ImageFormat("png", "fpng", 95))
    crops = [*source.crops, replace(source.crops[-1], image=11, frame=40)]
    card = read_card(make_export(tmp_path / "export"))
    with pytest.raises(BadVideo, match="breaks off: 10 of 11 pictures are there"):
        read_clips(replace(source, crops=tuple(crops)), Preparation(card))


def compare_with_engine(
    source: FrameSource, frames: Path, form: ImageFormat, mode="center", crop=False, **network
) -> None:
    """Assert that clips of a source, and of its extracted frames, are the engine's."""
    augmentation = {
        "val_center_crop": crop,
        "crop_smaller_edge": 48,
        "rgb_input_mean": [0.485, 0.456, 0.406],
        "rgb_input_std": [0.229, 0.224, 0.225],
    }
    model = {
        "model_type": "rgb",
        "rgb_seq_length": 6,
        "input_width": 40,
        "input_height": 32,
        "sample_strategy": "random_interval",
        **network,
    }
    values = {
        "model": model,
        "dataset": {"label_map": {"a": 0, "b": 1}, "augmentation_config": augmentation},
        "evaluate": {"video_eval_mode": mode, "video_num_segments": 3},
    }
    spec = make_spec(values, "test")
    expected = engine_clips(spec, frames)
    card = card_of(spec, values, form)
    (listed,) = list_videos(frames, "test", spec.model.model_type)
    for found in (
        read_clips(source, Preparation(card)).clips,
        frames_clips(listed, Preparation(card)),
    ):
        assert len(found) == len(expected) == (3 if mode == "conv" else 1)
        for clip, tensors in zip(found, expected, strict=True):
            for array, tensor in zip(clip.values(), tensors, strict=True):
                np.testing.assert_array_equal(array, tensor.numpy())


def engine_clips(spec, frames: Path) -> list[tuple[torch.Tensor, ...]]:
    """Return the network's inputs for each clip as the native engine computes them."""
    from actionrec.native.data.datasets import ClipSelection

    spec = OmegaConf.merge(spec, {"dataset": {"workers": 0}})
    videos = list_videos(frames, "test", spec.model.model_type)
    section = spec.evaluate
    selection = ClipSelection(section.video_eval_mode, section.video_num_segments)
    dataset = EvalDataset(videos, spec, FrameMemory(2**26), selection)
    clips = []
    for batch in eval_dataloader(dataset, [[key] for key in range(len(dataset))], 0):
        inputs = transforms.normalise(batch, spec)
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        clips.append(tuple(tensor[0] for tensor in inputs))
    return clips


def card_of(spec, overrides, form: ImageFormat) -> ModelCard:
    """Return the model card of a spec."""
    network = Description.model_validate(from_spec.description(spec, ["a", "b"]))
    return ModelCard(
        onnx={"file": "model.onnx", "sha256": ""},
        inputs=network.inputs,
        resize=network.resize,
        stored_as=form.cache_key,
        flow={"method": FLOW.method, "preset": FLOW.preset, "mapping": FLOW.mapping},
        sampling={
            "strategy": network.strategy,
            "rate": network.rate,
            **from_spec.clip_selection(spec, overrides),
        },
        labels=network.labels,
    )
