"""Videos on disk and the clips made of them: layout errors, caching, order and draws."""

import logging
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from actionrec.errors import InputError
from actionrec.native.data import image_io
from actionrec.native.data.datasets import (
    FixedClips,
    TrainingBatches,
    TrainingClips,
    equal_batches,
    load,
)
from actionrec.native.data.frame_cache import FrameReader
from actionrec.native.data.frame_memory import Memory
from actionrec.native.data.videos import (
    list_classes,
    list_videos,
    refuse_small,
    warn_of_rare,
    warn_of_short,
)
from actionrec.spec.load import make_spec
from helpers.engine import LABELS, draw_tree, draw_video

KEY = "dataset.train_dataset_dir"


def spec_of(**changes):
    values = {
        "model": {"input_width": 16, "input_height": 12, "rgb_seq_length": 3},
        "dataset": {"workers": 0, "batch_size": 4, "clips_per_video": 2},
    }
    for section, keys in changes.items():
        values.setdefault(section, {}).update(keys)
    return make_spec(values, "test")


def test_videos_are_listed_by_class_id_and_name(tmp_path):
    draw_tree(tmp_path, videos=3, labels=["ride", "fall"])
    videos = list_classes(tmp_path, LABELS, KEY)
    assert [video.label for video in videos] == [0, 0, 0, 1, 1, 1]
    assert [video.folder.parent.name for video in videos] == ["fall"] * 3 + ["ride"] * 3
    assert videos[0].frames == tuple(f"{index:06d}.png" for index in range(1, 9))
    assert videos[0].size == (40, 32)


def stray_in_root(root: Path) -> None:
    (root / ".DS_Store").touch()


def stray_in_class(root: Path) -> None:
    (root / "fall" / "notes.txt").touch()


def stray_among_frames(root: Path) -> None:
    (next((root / "fall").iterdir()) / "rgb" / "Thumbs.db").touch()


def unknown_class(root: Path) -> None:
    draw_video(root / "rides" / "video", 0)


def no_rgb(root: Path) -> None:
    (root / "fall" / "empty").mkdir()


def no_frames(root: Path) -> None:
    (root / "fall" / "empty" / "rgb").mkdir(parents=True)


def grey_frames(root: Path) -> None:
    rgb = root / "fall" / "grey" / "rgb"
    rgb.mkdir(parents=True)
    Image.new("L", (8, 8)).save(rgb / "000001.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (stray_in_root, ".DS_Store"),
        (stray_in_class, "notes.txt"),
        (stray_among_frames, "Thumbs.db"),
        (unknown_class, r"label_map[\s\S]*rides[\s\S]*did you mean 'ride'"),
        (no_rgb, "no rgb folder"),
        (no_frames, "no frames"),
        (grey_frames, r"000001.png\n  found:   mode L"),
    ],
)
def test_a_spoilt_tree_is_refused_by_name(spoil, message, tmp_path):
    draw_tree(tmp_path, videos=1)
    spoil(tmp_path)
    with pytest.raises(InputError, match=message):
        list_classes(tmp_path, LABELS, KEY)


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        list_classes(tmp_path / "none", LABELS, KEY)
    with pytest.raises(InputError, match="no videos"):
        list_videos(tmp_path, "inference.inference_dataset_dir")


def test_a_root_of_classes_is_no_folder_of_videos(tmp_path):
    draw_tree(tmp_path, videos=1)
    with pytest.raises(InputError, match=r"no rgb folder[\s\S]*<video>/rgb for inference"):
        list_videos(tmp_path, "inference.inference_dataset_dir")


def test_too_few_videos_are_refused_in_taos_words():
    with pytest.raises(InputError) as error:
        refuse_small(24, 100, "train", "dataset.batch_size")
    assert (
        "Dataset size (24) is smaller than the total batch size (100). Not enough data for train."
        in str(error.value)
    )
    assert "set dataset.batch_size to 24 or less" in str(error.value)


def test_short_videos_are_warned_of(tmp_path, caplog):
    draw_tree(tmp_path, videos=1, frames=5)
    videos = list_classes(tmp_path, LABELS, KEY)
    spec = spec_of(model={"sample_strategy": "consecutive", "sample_rate": 2})
    with caplog.at_level(logging.WARNING):
        warn_of_short(videos, spec)
    assert "2 videos have fewer than 6 frames" in caplog.text
    assert str(videos[0].folder) in caplog.text


def test_classes_rarer_than_a_batch_are_warned_of_with_numbers(tmp_path, caplog):
    draw_tree(tmp_path, videos=3, labels=["fall"])
    draw_tree(tmp_path, videos=1, labels=["ride"])
    videos = list_classes(tmp_path, LABELS, KEY)
    spec = spec_of(dataset={"batch_size": 5, "clips_per_video": 2, "label_map": LABELS})
    warn_of_rare(videos, spec)
    assert "1 of 2 classes are rarer than a batch of 5 clips" in caplog.text
    assert "ride: 1 videos, 2 clips" in caplog.text
    assert "fall" not in caplog.text
    caplog.clear()
    warn_of_rare(videos, spec_of(dataset={"batch_size": 2, "label_map": LABELS}))
    assert not caplog.text


def epoch_of(spec, videos, epoch: int) -> list[np.ndarray]:
    clips = TrainingClips(videos, spec, Memory(2**30))
    order = TrainingBatches(len(clips), spec.dataset.batch_size, spec.train.seed)
    order.epoch = epoch
    return [
        torch.where(batch.flips.view(-1, 1, 1, 1, 1), rgb.flip(3), rgb).numpy()
        for batch in load(clips, order, spec.dataset.workers)
        for rgb in batch.streams.values()
    ]


def test_clips_depend_on_seed_and_epoch_not_on_workers(tmp_path):
    draw_tree(tmp_path, videos=3)
    videos = list_classes(tmp_path, LABELS, KEY)
    augmentation = {"train_crop_type": "random_crop", "crop_smaller_edge": 20}
    alone = spec_of(dataset={"augmentation_config": augmentation})
    shared = spec_of(dataset={"augmentation_config": augmentation, "workers": 2})
    other = spec_of(dataset={"augmentation_config": augmentation}, train={"seed": 5})
    first = epoch_of(alone, videos, 3)
    assert [batch.shape for batch in first] == [(4, 3, 12, 16, 3)] * 3
    for again in (epoch_of(alone, videos, 3), epoch_of(shared, videos, 3)):
        assert all((a == b).all() for a, b in zip(first, again, strict=True))
    for different in (epoch_of(alone, videos, 4), epoch_of(other, videos, 3)):
        assert any((a != b).any() for a, b in zip(first, different, strict=True))


def test_every_epoch_has_all_clips_once_and_skips_what_was_done():
    order = TrainingBatches(10, 4, seed=1)
    assert len(order) == 3
    whole = list(order)
    assert sorted(index for batch in whole for _, index in batch) == list(range(10))
    order.skip = 2
    assert list(order) == whole[2:]


def test_every_video_gives_its_clips_in_every_epoch_each_drawn_anew(tmp_path):
    draw_tree(tmp_path, videos=2, frames=40)
    videos = list_classes(tmp_path, LABELS, KEY)
    spec = spec_of(model={"rgb_seq_length": 8}, dataset={"clips_per_video": 3})
    clips = TrainingClips(videos, spec, Memory(2**30))
    order = TrainingBatches(len(clips), 4, spec.train.seed)
    drawn = defaultdict(list)
    for epoch in range(2):
        order.epoch = epoch
        for batch in load(clips, order, spec.dataset.workers):
            rows = zip(batch.streams["rgb"], batch.labels, batch.videos.tolist(), strict=True)
            for clip, label, number in rows:
                assert label == videos[number].label
                drawn[number].append(clip.numpy().tobytes())
    assert sorted(drawn) == [0, 1, 2, 3]
    assert all(len(of_video) == len(set(of_video)) == 6 for of_video in drawn.values())


def same(frames, others) -> bool:
    return all((a == b).all() for a, b in zip(frames, others, strict=True))


def reader_of(videos, memory: int, **how) -> FrameReader:
    return FrameReader(videos, "rgb", [(16, 12)] * len(videos), Memory(memory), **how)


def test_frames_are_decoded_once_where_there_is_memory(tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_classes(tmp_path, LABELS, KEY)
    one_video = 8 * 12 * 16 * 3
    reader, poor = reader_of(videos, one_video), reader_of(videos, one_video - 1)
    ids = np.array([2, 5, 5, 0])
    before = reader.read(1, ids)
    assert same(before, poor.read(1, ids))
    for frame in (videos[1].folder / "rgb").iterdir():
        frame.unlink()
    assert same(before, reader.read(1, ids))
    with pytest.raises(InputError, match=r"000001\.png"):
        poor.read(1, ids)


def test_a_forgotten_video_leaves_its_memory_to_others(tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_classes(tmp_path, LABELS, KEY)
    reader = reader_of(videos, 8 * 12 * 16 * 3)
    first = reader.read(0, np.arange(8))
    reader.forget(0)
    second = reader.read(1, np.arange(8))
    for frame in tmp_path.glob("*/*/rgb/*.png"):
        frame.unlink()
    assert same(second, reader.read(1, np.arange(8)))
    assert not same(first, second)
    with pytest.raises(InputError, match=r"000001\.png"):
        reader.read(0, np.array([0]))


@pytest.mark.parametrize(("draws", "all_read"), [(7, False), (8, True)])
def test_a_video_is_read_whole_if_all_of_it_will_be_drawn(draws, all_read, tmp_path):
    draw_tree(tmp_path, videos=1)
    videos = list_classes(tmp_path, LABELS, KEY)
    reader = reader_of(videos, 2**20, draws=draws)
    reader.read(0, np.array([0]))
    for frame in (videos[0].folder / "rgb").iterdir():
        frame.unlink()
    try:
        reader.read(0, np.arange(8))
    except InputError:
        assert not all_read
    else:
        assert all_read


@pytest.mark.parametrize("workers", [0, 3])
def test_a_test_set_is_read_once_whatever_its_segments(workers, tmp_path, monkeypatch):
    decode = image_io.read_image

    def noting(path, *how):
        with (tmp_path / "read").open("a") as notes:  # of all workers
            notes.write(f"{path}\n")
        return decode(path, *how)

    monkeypatch.setattr(image_io, "read_image", noting)
    draw_tree(tmp_path, videos=3)
    videos = list_classes(tmp_path, LABELS, KEY)
    spec = spec_of(model={"sample_strategy": "consecutive"}, dataset={"workers": workers})
    clips = FixedClips(videos, spec, Memory(2**30), mode="conv", segments=10, once=True)
    batches = load(clips, equal_batches(clips.lengths, lambda _: 4), workers)
    numbers = [number for batch in batches for number in batch.videos.tolist()]
    assert numbers == [number for number in range(6) for _ in range(10)]
    read = (tmp_path / "read").read_text().splitlines()
    assert len(read) == len(set(read)) == 6 * 8


def test_batches_hold_clips_of_one_length():
    fitting = {3: 2, 5: 1}
    assert equal_batches([3, 3, 3, 5, 5, 3], fitting.get) == [[0, 1], [2], [3], [4], [5]]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_frame_ends_the_epoch_with_its_name(workers, tmp_path):
    draw_tree(tmp_path, videos=2)
    damaged = next((tmp_path / "ride").iterdir()) / "rgb" / "000004.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    videos = list_classes(tmp_path, LABELS, KEY)
    spec = spec_of(
        model={"rgb_seq_length": 8, "sample_strategy": "consecutive"},
        dataset={"workers": workers, "augmentation_config": {"train_crop_type": "no_crop"}},
    )
    with pytest.raises(InputError, match=re.escape(str(damaged))):
        epoch_of(spec, videos, 0)
