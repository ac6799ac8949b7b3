"""Random changes of training clips beyond TAO's."""

import numpy as np
import pytest
import torch

from actionrec.native.data import augment, frame_sampling, transforms
from actionrec.native.data.batch import Batch
from actionrec.spec.load import make_spec
from actionrec.spec.native_keys import Augmentation

OFF = np.eye(3)[:2].ravel()


def settings(**keys):
    return make_spec({"native": {"augmentation": keys}}, "test").native.augmentation


def drawn(count=64, **keys):
    return torch.from_numpy(augment.draw(settings(**keys), count, np.random.default_rng(7)))


def clips(count=4, channels=3, frames=2, side=32):
    return torch.rand(count, channels, frames, side, side, generator=torch.manual_seed(1))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("color_jitter", 0.4),
        ("random_resized_crop", 0.3),
        ("random_erasing", 1.0),
        ("rand_augment", 2),
    ],
)
def test_each_key_changes_clips_alike_in_all_their_frames_and_each_clip_otherwise(key, value):
    one = settings(**{key: value})
    assert augment.is_used(one)
    frame = torch.rand(1, 3, 1, 32, 32, generator=torch.manual_seed(1))
    same = frame.expand(8, 3, 4, 32, 32).clone()
    numbers = drawn(8, **{key: value})
    changed = augment.erase(augment.warp_and_colour(same, numbers, one), numbers, one)
    torch.testing.assert_close(changed, changed[:, :, :1].expand_as(changed))
    assert all(not torch.equal(changed[0], other) for other in changed[1:])


def test_nothing_is_drawn_by_default():
    assert not augment.is_used(settings())
    assert not augment.is_used(settings(speed_jitter=0.5))  # of frame ids, not of pixels


def test_factors_of_one_and_no_warp_change_nothing():
    numbers = torch.zeros(4, augment.COLUMNS)
    numbers[:, augment.WARP] = torch.from_numpy(OFF).float()
    numbers[:, augment.BRIGHTNESS : augment.SATURATION + 1] = 1
    every = settings(color_jitter=1, random_resized_crop=0.5, rand_augment=1, random_erasing=1)
    before = clips()
    after = augment.erase(augment.warp_and_colour(before.clone(), numbers, every), numbers, every)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


def test_a_crop_shows_a_part_of_the_frame_at_full_size():
    numbers = torch.zeros(1, augment.COLUMNS)
    # The lower right quarter: half as wide and high, its centre at half the way to the corner.
    numbers[0, augment.WARP] = torch.tensor([0.5, 0, 0.5, 0, 0.5, 0.5])
    ramp = torch.linspace(0, 1, 64).expand(1, 2, 3, 64, 64).clone()  # by x; two channels: flow
    cropped = augment.warp_and_colour(ramp, numbers, settings(random_resized_crop=0.25))
    expected = torch.linspace(0.5, 1, 64)
    torch.testing.assert_close(cropped[0, 0, 0, 10], expected, atol=0.02, rtol=0)


def test_crops_have_at_least_their_share_of_the_area_and_lie_in_the_frame():
    warps = drawn(200, random_resized_crop=0.3)[:, augment.WARP]
    width, x, height, y = warps[:, 0], warps[:, 2], warps[:, 4], warps[:, 5]
    assert (width * height).min() > 0.3 * 0.75  # a side that would be too long is cut
    assert (x.abs() + width).max() <= 1 + 1e-6
    assert (y.abs() + height).max() <= 1 + 1e-6


def test_saturation_zero_is_grey_and_flow_has_no_colours():
    numbers = torch.ones(1, augment.COLUMNS)
    numbers[0, augment.SATURATION] = 0
    one = settings(color_jitter=1)
    grey = augment.warp_and_colour(clips(1), numbers, one)
    torch.testing.assert_close(grey[:, 0], grey[:, 1])
    flow = clips(1, channels=2)
    assert augment.warp_and_colour(flow, numbers * 0.5, one) is flow


def test_erased_pixels_are_the_mean_in_a_rectangle():
    one = settings(random_erasing=1.0)
    numbers = drawn(50, random_erasing=1.0)
    erased = augment.erase(clips(50) + 1, numbers, one) == 0
    shares = erased[:, 0, 0].float().mean(dim=(1, 2))
    assert shares.min() > 0
    assert shares.max() < 0.3
    assert drawn(50, random_erasing=1e-9)[:, augment.BOX].eq(0).all()


def test_both_streams_are_warped_alike_and_labels_stay():
    spec = make_spec(
        {
            "model": {"model_type": "joint", "input_type": "3d"},
            "native": {"augmentation": {"random_resized_crop": 0.3}},
        },
        "test",
    )
    grey = torch.randint(0, 256, (2, 2, 16, 16, 1), dtype=torch.uint8)
    streams = {"rgb": grey.expand(-1, -1, -1, -1, 3), "of": grey.expand(-1, -1, -1, -1, 2)}
    numbers = drawn(2, random_resized_crop=0.3)
    batch = Batch(streams, torch.tensor([0, 1]), torch.zeros(2, dtype=torch.bool), torch.arange(2))
    augmentation = spec.dataset.augmentation_config
    augmentation.rgb_input_mean, augmentation.rgb_input_std = [0.5], [0.5]
    plain = transforms.normalise(batch, spec)
    batch = Batch(batch.streams, batch.labels, batch.flips, batch.videos, numbers)
    assert batch.device_tensors[-1] is numbers
    rgb, flow = transforms.normalise(batch, spec)
    assert rgb.shape == plain[0].shape
    torch.testing.assert_close(rgb[:, 0], flow[:, 0])
    assert not torch.equal(rgb, plain[0])


def test_speed_jitter_keeps_ids_in_the_video_and_in_order():
    spans = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        ids = frame_sampling.stream_training_ids(60, (8,), "consecutive", 2, rng, 0.5)[0]
        assert (np.diff(ids) >= 0).all()
        assert 0 <= ids[0] <= ids[-1] < 60
        spans.append(ids[-1] - ids[0])
    assert min(spans) < 11 < 17 < max(spans)  # 14 at the video's own speed
    for seed in range(50):
        rng = np.random.default_rng(seed)
        ids = frame_sampling.stream_training_ids(60, (8,), "random_interval", 1, rng, 0.5)[0]
        assert (np.diff(ids) > 0).all()
        assert ids[-1] < 60
    short = frame_sampling.stream_training_ids(5, (8,), "consecutive", 2, rng, 0.5)[0]
    assert set(short) <= set(range(5))


def test_every_key_says_what_it_does():
    for name, item in Augmentation.__dataclass_fields__.items():
        assert item.metadata["help"], name
