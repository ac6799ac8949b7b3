"""Clips of optical flow, alone and with frames: TAO's tensors and draws, and damaged videos."""

import numpy as np
import pytest
from PIL import Image

from actionrec.errors import InputError
from actionrec.native.data import frame_sampling, transforms
from actionrec.native.data.datasets import ClipSelection, EvalDataset, eval_dataloader
from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.videos import list_labelled_videos, list_videos
from actionrec.spec.load import make_spec
from helpers.engine import (
    LABELS,
    augmented,
    draw_flow,
    draw_tree,
    golden_flow,
    golden_frame,
    read_golden,
)

RESIZING = 0.02  # what Pillow versions may differ by, in normalised values
KEY = "dataset.train_dataset_dir"


def draw_golden(video, case):
    height, width = case["source"]
    for part in ("rgb", "u", "v"):
        (video / part).mkdir(parents=True)
    for index in range(case["frames"]):
        name = f"{index + 1:06d}.png"
        Image.fromarray(golden_frame(index, width, height)).save(video / "rgb" / name)
        if index + 1 < case["frames"]:
            for part, image in zip("uv", golden_flow(index, width, height), strict=True):
                Image.fromarray(image).save(video / part / name)


def spec_of(case):
    model = ("model_type", "input_type", "sample_strategy", "sample_rate")
    model += ("rgb_seq_length", "of_seq_length")
    augmentation = ("val_center_crop", "crop_smaller_edge", "of_input_mean", "of_input_std")
    size = {"input_height": case["size"][0], "input_width": case["size"][1]}
    return make_spec(
        {
            "model": {key: case[key] for key in model} | size,
            "dataset": {"augmentation_config": {key: case[key] for key in augmentation}},
        },
        "test",
    )


@pytest.mark.parametrize("case", read_golden("flow.json"))
def test_tensors_are_those_of_tao(case, tmp_path):
    draw_golden(tmp_path / "video", case)
    spec = spec_of(case)
    videos = list_videos(tmp_path, "test", case["model_type"])
    clips = EvalDataset(
        videos, spec, FrameMemory(2**30), ClipSelection(case["mode"], case["segments"])
    )
    assert len(clips) == len(case["clips"])
    spec.dataset.workers = 0
    for batch, golden in zip(
        eval_dataloader(clips, [[0]], num_workers=0), case["clips"], strict=False
    ):
        tensors = transforms.normalise(batch, spec)
        tensors = tensors if isinstance(tensors, tuple) else (tensors,)
        for tensor, expected in zip(tensors, golden.values(), strict=True):
            assert list(tensor.shape[1:]) == expected["shape"]
            found = tensor.flatten()[expected["at"]].tolist()
            np.testing.assert_allclose(found, expected["values"], atol=RESIZING)
            assert tensor.mean().item() == pytest.approx(expected["mean"], abs=1e-3)
            assert tensor.std().item() == pytest.approx(expected["std"], abs=1e-3)


def test_joint_centre_ids_are_those_of_tao():
    # `rate` of these golden values is that of the two lengths; frames are neighbours.
    cases = [case for case in read_golden("data.json")["ids"] if "joint_rgb" in case]
    assert cases
    for case in cases:
        lengths = len(case["joint_rgb"]), len(case["joint_of"])
        ((rgb, of),) = frame_sampling.stream_clip_ids(
            case["frames"], lengths, "consecutive", 1, mode="center", segments=1
        )
        assert rgb.tolist() == case["joint_rgb"]
        assert of.tolist() == case["joint_of"]


@pytest.mark.parametrize("lengths", [(3, 8), (8, 3)])
def test_the_shorter_stream_draws_one_frame_of_each_part_of_the_longer(lengths):
    rng = np.random.default_rng(0)
    places = np.zeros((3, 8))
    for _ in range(4000):
        ids = frame_sampling.stream_training_ids(40, lengths, "random_interval", 1, rng)
        short, long = sorted(ids, key=len)
        assert (np.diff(long) > 0).all()
        places[np.arange(3), np.searchsorted(long, short)] += 1
    # Eight frames in three parts: two, two, and four, as the last has what is left over.
    expected = np.repeat([1 / 2, 1 / 2, 1 / 4], [2, 2, 4])
    np.testing.assert_allclose(places.sum(axis=0) / 4000, expected, atol=0.03)
    assert [np.flatnonzero(row).tolist() for row in places] == [[0, 1], [2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("rate", [1, 2])
def test_the_shorter_of_two_consecutive_streams_is_the_middle_of_the_longer(rate):
    rng = np.random.default_rng(0)
    for _ in range(50):
        rgb, of = frame_sampling.stream_training_ids(40, (4, 12), "consecutive", rate, rng)
        middle = frame_sampling.centre_ids(12, 4, "consecutive", rate)
        assert rgb.tolist() == of[middle].tolist()


def test_frames_and_flow_are_cropped_and_mirrored_alike():
    y, x = np.mgrid[:12, :10].astype(np.uint8)
    rgb = np.stack([x, y, x], axis=-1)[None]
    of = np.stack([x, y], axis=-1)[None].repeat(3, axis=0)
    model = {"model_type": "joint", "input_width": 6, "input_height": 5}
    for crop in ("random_crop", "multi_scale_crop", "no_crop"):
        augmentation = {"train_crop_type": crop, "scales": [1.0, 0.5]}
        spec = make_spec({"model": model, "dataset": {"augmentation_config": augmentation}}, "test")
        rng = np.random.default_rng(0)
        for _ in range(20):
            frames, flow = augmented((rgb, of), spec, rng)
            assert flow.shape == (3, *frames.shape[1:3], 2)
            assert (frames[0, ..., :2] == flow).all()


def drop_flow(video):
    for part in "uv":
        for image in (video / part).iterdir():
            image.unlink()
        (video / part).rmdir()


def drop_pair(video):
    (video / "v" / "000003.jpg").unlink()


def rename(video):
    (video / "v" / "000003.jpg").rename(video / "v" / "000003.png")


def drop_frames(video):
    for name in ("000001.png", "000005.png", "000008.png"):
        (video / "rgb" / name).unlink()


def colour(video):
    Image.new("RGB", (8, 8)).save(video / "u" / "000001.jpg")


@pytest.mark.parametrize(
    ("damage", "model_type", "message"),
    [
        (drop_flow, "joint", r"no u folder[\s\S]*make its flow first"),
        (drop_flow, "of", r"no u folder[\s\S]*make its flow first"),
        (drop_pair, "joint", "7 images in u, 6 in v"),
        (rename, "of", r"u/000003\.jpg next to v/000003\.png"),
        (drop_frames, "joint", "5 images in rgb, 7 in u"),
        (colour, "of", r"not grey[\s\S]*mode RGB"),
    ],
)
def test_damaged_flow_is_refused_with_the_numbers_of_images(damage, model_type, message, tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list(tmp_path.glob("*/*"))
    for video in videos:
        draw_flow(video)
    assert len(list_labelled_videos(tmp_path, LABELS, KEY, model_type)) == 2
    damage(videos[0])
    with pytest.raises(InputError, match=message) as error:
        list_labelled_videos(tmp_path, LABELS, KEY, model_type)
    assert str(videos[0]) in str(error.value)


def test_flow_needs_no_frames(tmp_path):
    draw_tree(tmp_path, videos=1)
    for video in tmp_path.glob("*/*"):
        draw_flow(video)
        for image in (video / "rgb").iterdir():
            image.unlink()
    videos = list_labelled_videos(tmp_path, LABELS, KEY, "of")
    assert [(video.length, video.size) for video in videos] == [(7, (40, 32))] * 2


def test_whole_videos_that_are_too_short_for_i3d_are_refused(tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    model = {"backbone": "i3d", "input_type": "3d", "rgb_seq_length": 9}
    spec = make_spec({"model": {**model, "sample_strategy": "consecutive"}}, "test")
    assert EvalDataset(videos, spec, FrameMemory(0)).lengths == [9, 9]
    with pytest.raises(InputError, match="8 frames") as error:
        EvalDataset(videos, spec, FrameMemory(0), ClipSelection("all"))
    assert str(videos[0].folder) in str(error.value)
