"""Frames on their way into the network: TAO's tensors, and crops and flips of a clip."""

import numpy as np
import pytest
import torch
from engine import golden_frame, read_golden
from PIL import Image

from actionrec import spec as specs
from actionrec.errors import InputError
from actionrec.native import data, transforms

RESIZING = 0.02  # what Pillow versions may differ by, in normalised values


@pytest.mark.parametrize("case", read_golden("data.json")["tensors"])
def test_tensors_are_those_of_tao(case, tmp_path):
    height, width = case["source"]
    rgb = tmp_path / "video" / "rgb"
    rgb.mkdir(parents=True)
    for index in range(case["frames"]):
        Image.fromarray(golden_frame(index, width, height)).save(rgb / f"{index + 1:06d}.png")
    spec = specs.merge(
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
    clips = data.FixedClips(data.list_videos(tmp_path, "test"), spec)
    ((clip, _, _),) = data.load(clips, [[0]], spec)
    tensor = transforms.normalise(clip, spec)[0]
    assert list(tensor.shape) == case["shape"]
    found = [tensor[tuple(index)].item() for index in case["at"]]
    np.testing.assert_allclose(found, case["values"], atol=RESIZING)
    assert tensor.mean().item() == pytest.approx(case["value_mean"], abs=1e-3)
    assert tensor.std().item() == pytest.approx(case["value_std"], abs=1e-3)


def spec_of(width, height, **augmentation):
    return specs.merge(
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


def test_random_crops_and_flips_are_uniform_and_alike_in_all_frames():
    spec = spec_of(8, 6, train_crop_type="random_crop", horizontal_flip_prob=0.25)
    rng = np.random.default_rng(0)
    corners, flips = [], 0
    for _ in range(3000):
        clip = transforms.augment(numbered_clip(10, 9), spec, rng)
        assert clip.shape == (2, 6, 8, 3)
        assert (clip[0, ..., :2] == clip[1, ..., :2]).all()
        flipped = clip[0, 0, 0, 0] > clip[0, 0, -1, 0]
        flips += flipped
        corners.append((min(clip[0, 0, 0, 0], clip[0, 0, -1, 0]), clip[0, 0, 0, 1]))
    places, counts = np.unique(corners, axis=0, return_counts=True)
    assert places.tolist() == [[x, y] for x in range(3) for y in range(4)]
    assert counts.min() > 3000 / 12 * 0.6
    assert flips / 3000 == pytest.approx(0.25, abs=0.04)


def test_multi_scale_crops_lie_at_thirteen_places():
    spec = spec_of(
        16, 16, train_crop_type="multi_scale_crop", scales=[1.0, 0.5], horizontal_flip_prob=0.0
    )
    rng = np.random.default_rng(0)
    places = {24: set(), 48: set()}
    for _ in range(800):
        clip = transforms.augment(numbered_clip(64, 48), spec, rng)
        assert clip.shape == (2, 16, 16, 3)
        across = int(clip[0, 0, -1, 0]) - int(clip[0, 0, 0, 0])
        places[48 if across > 30 else 24].add(tuple(clip[0, 8, 8, :2].tolist()))
    assert len(places[24]) == 13
    assert len(places[48]) == 5  # no room up and down


def test_a_crop_larger_than_the_frames_is_refused():
    spec = spec_of(20, 6, train_crop_type="random_crop")
    with pytest.raises(InputError, match="frames resized to 10x9, crop 20x6"):
        transforms.augment(numbered_clip(10, 9), spec, np.random.default_rng(0))


def test_centre_crop_fills_what_is_missing_with_black():
    clip = np.full((1, 4, 10, 3), 9, np.uint8)
    cropped = transforms.centre_crop(clip, (6, 8))
    assert cropped.shape == (1, 8, 6, 3)
    assert (cropped[0, 2:6] == 9).all()
    assert (cropped[0, :2] == 0).all()


def test_2d_input_has_all_red_frames_first():
    clips = torch.zeros(1, 2, 4, 5, 3, dtype=torch.uint8)
    clips[0, 1, :, :, 0] = 255
    spec = spec_of(5, 4, rgb_input_mean=[0.0], rgb_input_std=[1.0])
    assert transforms.normalise(clips, spec)[0, :, 0, 0].tolist() == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_a_frame_that_is_not_rgb_is_named(mode, tmp_path):
    path = tmp_path / "000001.png"
    Image.new(mode, (4, 4)).save(path)
    with pytest.raises(InputError, match=rf"000001.png\n  found:   mode {mode}"):
        transforms.read_frame(path, (4, 4))


def test_a_truncated_frame_is_named(tmp_path):
    path = tmp_path / "000007.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"damaged[\s\S]*000007.png"):
        transforms.read_frame(path, (32, 32))
