"""Transforms: TAO's tensors, and the crops and flips of a clip."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
import torch
from PIL import Image

from actionrec.errors import InputError
from actionrec.native.data import crops, transforms
from actionrec.native.data.batch import Batch
from actionrec.native.data.datasets import EvalDataset, eval_dataloader
from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.videos import list_videos
from actionrec.spec.load import make_spec
from helpers.engine import assert_drawn_from, augmented, golden_frame, read_golden

RESIZING = 0.02  # what Pillow versions may differ by, in normalised values


@pytest.mark.parametrize("case", read_golden("data.json")["tensors"])
def test_tensors_are_those_of_tao(case, tmp_path):
    height, width = case["source"]
    rgb = tmp_path / "video" / "rgb"
    rgb.mkdir(parents=True)
    for index in range(case["frames"]):
        Image.fromarray(golden_frame(index, width, height)).save(rgb / f"{index + 1:06d}.png")
    spec = make_spec(
        {
            "model": {
                "input_type": case["input_type"],
                "rgb_seq_length": case["seq"],
                "input_height": case["size"][0],
                "input_width": case["size"][1],
                "sample_strategy": "consecutive",
            },
            "dataset": {
                "workers": 0,
                "augmentation_config": {
                    "val_center_crop": case["val_center_crop"],
                    "crop_smaller_edge": case["crop_smaller_edge"],
                    "rgb_input_mean": case["mean"],
                    "rgb_input_std": case["std"],
                },
            },
        },
        "test",
    )
    clips = EvalDataset(list_videos(tmp_path, "test"), spec, FrameMemory(2**30))
    (batch,) = eval_dataloader(clips, [[0]], num_workers=0)
    tensor = transforms.normalise(batch, spec)[0]
    assert list(tensor.shape) == case["shape"]
    found = [tensor[tuple(index)].item() for index in case["at"]]
    np.testing.assert_allclose(found, case["values"], atol=RESIZING)
    assert tensor.mean().item() == pytest.approx(case["value_mean"], abs=1e-3)
    assert tensor.std().item() == pytest.approx(case["value_std"], abs=1e-3)


def spec_of(width, height, **augmentation):
    return make_spec(
        {
            "model": {"input_width": width, "input_height": height},
            "dataset": {"augmentation_config": augmentation},
        },
        "test",
    )


def numbered_clip(width: int, height: int) -> np.ndarray:
    """Return a clip of two frames whose pixels say where they are: (x, y, frame)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([np.stack([x, y, np.full_like(x, t)], -1) for t in range(2)]).astype(np.uint8)


def test_random_crops_and_flips_are_uniform_and_the_same_in_all_frames():
    spec = spec_of(8, 6, train_crop_type="random_crop", horizontal_flip_prob=0.25)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(3000):
        clip = augmented([numbered_clip(10, 9)], spec, rng)[0]
        assert clip.shape == (2, 6, 8, 3)
        assert (clip[0, ..., :2] == clip[1, ..., :2]).all()
        left, right = (int(clip[0, 0, side, 0]) for side in (0, -1))
        draws.append((min(left, right), int(clip[0, 0, 0, 1]), left > right))
    chance = {
        (x, y, flipped): (0.25 if flipped else 0.75) / 12
        for x in range(3)
        for y in range(4)
        for flipped in (False, True)
    }
    assert_drawn_from(chance, draws)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_flips_can_be_never_and_always(probability):
    spec = spec_of(8, 6, train_crop_type="no_crop", horizontal_flip_prob=probability)
    given = numbered_clip(8, 6)
    clips = [augmented([given], spec, np.random.default_rng(i))[0] for i in range(50)]
    expected = given[:, :, ::-1] if probability else given
    assert all((clip == expected).all() for clip in clips)


# Of TAO's crops: scales are drawn alike, then one of 13 places in quarters of the free space.
PLACES = [(x, y) for x in (0, 2, 4) for y in (0, 2, 4)] + [(x, y) for x in (1, 3) for y in (1, 3)]


@pytest.mark.parametrize(
    ("frame", "size", "scales"),
    [
        ((64, 48), (16, 16), [1.0, 0.5]),  # no space up and down at full scale: 5 places
        ((67, 50), (16, 16), [0.66, 0.375, 0.3]),  # 18 and 15 are taken for 16
        ((50, 60), (24, 20), [0.875, 0.44]),  # a crop that is not square, where one side is near
    ],
)
def test_multi_scale_crops_are_as_frequent_as_taos(frame, size, scales):
    source = numbered_clip(*frame)
    chance: dict[bytes, float] = defaultdict(float)
    for scale, (x, y) in itertools.product(scales, PLACES):
        side = int(min(frame) * scale)
        width, height = (want if abs(side - want) < 3 else side for want in size)
        left, top = (frame[0] - width) // 4 * x, (frame[1] - height) // 4 * y
        crop = Image.fromarray(source[0]).crop((left, top, left + width, top + height))
        resized = np.asarray(crop.resize(size, Image.Resampling.BILINEAR))
        chance[resized.tobytes()] += 1 / (len(scales) * len(PLACES))
    assert len(chance) > len(PLACES)
    spec = spec_of(
        *size, train_crop_type="multi_scale_crop", scales=scales, horizontal_flip_prob=0.0
    )
    rng = np.random.default_rng(0)
    clips = [augmented([source], spec, rng)[0] for _ in range(1500)]
    assert all((clip[0, ..., :2] == clip[1, ..., :2]).all() for clip in clips)
    assert_drawn_from(chance, [clip[0].tobytes() for clip in clips])


@pytest.mark.parametrize(
    ("crop", "size", "expected"),
    [
        ("no_crop", (320, 240), (8, 6)),
        ("random_crop", (320, 240), (341, 256)),
        ("multi_scale_crop", (240, 320), (256, 341)),
        ("random_crop", (560, 240), (597, 256)),
        ("random_crop", (64, 64), (256, 256)),
    ],
)
def test_frames_are_resized_by_their_shorter_edge_before_a_crop(crop, size, expected):
    spec = spec_of(8, 6, train_crop_type=crop, crop_smaller_edge=256)
    augmentation = spec.dataset.augmentation_config
    assert crops.prepared_size(size, spec.model, augmentation, training=True) == expected


def test_a_crop_larger_than_the_frames_is_refused():
    spec = spec_of(20, 6, train_crop_type="random_crop")
    with pytest.raises(InputError, match="frames resized to 10x9, crop 20x6"):
        augmented([numbered_clip(10, 9)], spec, np.random.default_rng(0))


def test_the_centre_crop_of_a_small_frame_has_black_borders():
    frame = np.full((4, 10, 3), 9, np.uint8)
    cropped = crops.centre_crop((6, 8))(frame)
    assert cropped.shape == (8, 6, 3)
    assert (cropped[2:6] == 9).all()
    assert (cropped[:2] == 0).all()


def test_2d_input_has_all_red_frames_first():
    clips = torch.zeros(1, 2, 4, 5, 3, dtype=torch.uint8)
    clips[0, 1, :, :, 0] = 255
    spec = spec_of(5, 4, rgb_input_mean=[0.0], rgb_input_std=[1.0])
    inputs = transforms.normalise(batch_of(clips, [False]), spec)
    assert inputs[0, :, 0, 0].tolist() == [0, 1, 0, 0, 0, 0]


def batch_of(clips: torch.Tensor, flips: list[bool]) -> Batch:
    numbers = torch.arange(len(clips))
    return Batch({"rgb": clips}, numbers, torch.tensor(flips), numbers)


def test_only_clips_with_a_flip_are_mirrored():
    clips = torch.from_numpy(np.stack([numbered_clip(8, 6)] * 3))
    spec = spec_of(8, 6, rgb_input_mean=[0.0], rgb_input_std=[1.0])
    plain, mirrored, last = transforms.normalise(batch_of(clips, [False, True, False]), spec)
    assert (plain == last).all()
    assert (mirrored == plain.reshape(3, 2, 6, 8).flip(3).reshape(6, 6, 8)).all()
