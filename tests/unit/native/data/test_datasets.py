"""The clips of videos: what they depend on, and that frames are read once."""

import re
from collections import defaultdict

import numpy as np
import pytest
import torch

from actionrec.errors import InputError
from actionrec.native.data import datasets, image_io
from actionrec.native.data.datasets import (
    ClipSelection,
    EvalDataset,
    TrainDataset,
    eval_dataloader,
    train_dataloader,
)
from actionrec.native.data.frame_memory import FrameMemory
from actionrec.native.data.samplers import TrainBatchSampler, equal_length_batches
from actionrec.native.data.videos import (
    list_labelled_videos,
)
from helpers.engine import LABELS, draw_tree, tiny_spec

KEY = "dataset.train_dataset_dir"


def epoch_of(spec, videos, epoch: int) -> list[np.ndarray]:
    clips = TrainDataset(videos, spec, FrameMemory(2**30))
    sampler = TrainBatchSampler(len(clips), spec.dataset.batch_size, spec.train.seed)
    sampler.set_epoch(epoch)
    return [
        torch.where(batch.flips.view(-1, 1, 1, 1, 1), rgb.flip(3), rgb).numpy()
        for batch in train_dataloader(clips, sampler, spec.dataset.workers)
        for rgb in batch.streams.values()
    ]


def test_clips_depend_on_seed_and_epoch_not_on_workers(tmp_path):
    draw_tree(tmp_path, videos=3)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    augmentation = {"train_crop_type": "random_crop", "crop_smaller_edge": 20}
    alone = tiny_spec(dataset={"augmentation_config": augmentation})
    shared = tiny_spec(dataset={"augmentation_config": augmentation, "workers": 2})
    other = tiny_spec(dataset={"augmentation_config": augmentation}, train={"seed": 5})
    first = epoch_of(alone, videos, 3)
    assert [batch.shape for batch in first] == [(4, 3, 12, 16, 3)] * 3
    for again in (epoch_of(alone, videos, 3), epoch_of(shared, videos, 3)):
        assert all((a == b).all() for a, b in zip(first, again, strict=True))
    for different in (epoch_of(alone, videos, 4), epoch_of(other, videos, 3)):
        assert any((a != b).any() for a, b in zip(first, different, strict=True))


def test_every_video_gives_its_clips_in_every_epoch_all_of_them_different(tmp_path):
    draw_tree(tmp_path, videos=2, frames=40)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    spec = tiny_spec(model={"rgb_seq_length": 8}, dataset={"clips_per_video": 3})
    clips = TrainDataset(videos, spec, FrameMemory(2**30))
    sampler = TrainBatchSampler(len(clips), 4, spec.train.seed)
    drawn = defaultdict(list)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        for batch in train_dataloader(clips, sampler, spec.dataset.workers):
            rows = zip(batch.streams["rgb"], batch.labels, batch.videos.tolist(), strict=True)
            for clip, label, number in rows:
                assert label == videos[number].label
                drawn[number].append(clip.numpy().tobytes())
    assert sorted(drawn) == [0, 1, 2, 3]
    assert all(len(of_video) == len(set(of_video)) == 6 for of_video in drawn.values())


@pytest.mark.parametrize("workers", [0, 3])
def test_the_only_pass_over_videos_decodes_each_frame_once(workers, tmp_path, monkeypatch):
    decode = image_io.read_image

    def noting(path, *how):
        with (tmp_path / "read").open("a") as notes:  # of all workers
            notes.write(f"{path}\n")
        return decode(path, *how)

    monkeypatch.setattr(image_io, "read_image", noting)
    draw_tree(tmp_path, videos=3)
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    spec = tiny_spec(model={"sample_strategy": "consecutive"}, dataset={"workers": workers})
    clips = EvalDataset(videos, spec, FrameMemory(2**30), ClipSelection("conv", 10), only_pass=True)
    batches = eval_dataloader(clips, equal_length_batches(clips.lengths, lambda _: 4), workers)
    numbers = [number for batch in batches for number in batch.videos.tolist()]
    assert numbers == [number for number in range(6) for _ in range(10)]
    read = (tmp_path / "read").read_text().splitlines()
    assert len(read) == len(set(read)) == 6 * 8


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_frame_ends_the_epoch_with_its_name(workers, tmp_path):
    draw_tree(tmp_path, videos=2)
    damaged = next((tmp_path / "ride").iterdir()) / "rgb" / "000004.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    videos = list_labelled_videos(tmp_path, LABELS, KEY)
    spec = tiny_spec(
        model={"rgb_seq_length": 8, "sample_strategy": "consecutive"},
        dataset={"workers": workers, "augmentation_config": {"train_crop_type": "no_crop"}},
    )
    with pytest.raises(InputError, match=re.escape(str(damaged))):
        epoch_of(spec, videos, 0)


@pytest.mark.parametrize(
    ("workers", "videos", "processes", "readers"),
    [(8, 100, 1, 16), (2, 100, 1, 16), (8, 100, 4, 4), (8, 3, 1, 3), (8, 100, 99, 1), (0, 9, 1, 0)],
)
def test_scoring_reads_with_all_cores_unless_no_process_may(
    workers, videos, processes, readers, monkeypatch
):
    monkeypatch.setattr(datasets, "usable_cores", lambda: 16)
    spec = tiny_spec(dataset={"workers": workers})
    assert datasets.num_scoring_workers(spec, videos, processes) == readers
