"""Samplers: the order of an epoch's clips, and batches of clips of one length."""

from collections import Counter

import numpy as np
import pytest
import torch

from actionrec.native.data import samplers
from actionrec.native.data.samplers import TrainBatchSampler, equal_length_batches


def test_an_epoch_has_every_clip_once_and_can_start_at_a_later_batch():
    sampler = TrainBatchSampler(10, 4, seed=1)
    assert len(sampler) == 3
    whole = list(sampler)
    assert sorted(index for batch in whole for _, index in batch) == list(range(10))
    sampler.set_epoch(0, first_batch=2)
    assert list(sampler) == whole[2:]


def test_a_batch_has_clips_of_one_length():
    fitting = {3: 2, 5: 1}
    assert equal_length_batches([3, 3, 3, 5, 5, 3], fitting.get) == [[0, 1], [2], [3], [4], [5]]


@pytest.mark.parametrize("size", [2, 3])
def test_the_shards_of_all_ranks_are_those_of_pytorchs_distributed_sampler(size, monkeypatch):
    """Of 25 clips: the first come twice, so that all ranks have equally many."""
    whole = TrainBatchSampler(25, 1000, 5)
    whole.set_epoch(3)
    ((order),) = whole
    batches = []
    for rank in range(size):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(size))
        own = TrainBatchSampler(25, 4, 5)
        own.set_epoch(3)
        keys = [key for batch in own for key in batch]
        sampler = torch.utils.data.DistributedSampler(order, size, rank, shuffle=False)
        assert keys == [order[place] for place in sampler]
        batches.append([len(batch) for batch in own])
        assert len(own) == len(batches[-1])
    assert all(counts == batches[0] for counts in batches)
    assert own.num_clips == -(-25 // size) * size


def test_class_balanced_clips_are_equally_many_for_classes_and_for_videos_within_them():
    labels = [0] * 7 + [1] * 2 + [2]
    order = samplers.class_balanced(labels, 20)
    first = order(np.random.default_rng(0))
    assert len(first) == len(set(first)) == 20
    counts = Counter(int(clip) % 10 for clip in first)
    per_class = Counter(labels[video] for video in counts.elements())
    assert sorted(per_class.values()) == [6, 7, 7]
    for videos in (range(7), range(7, 9)):
        of_class = [counts[video] for video in videos]
        assert max(of_class) - min(of_class) <= 1
    assert first.tolist() == order(np.random.default_rng(0)).tolist()
    assert first.tolist() != order(np.random.default_rng(1)).tolist()
    few = samplers.class_balanced([0, 0, 1, 2], 2)(np.random.default_rng(0))
    assert len(few) == 2
