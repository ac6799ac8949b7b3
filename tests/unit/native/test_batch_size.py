"""How many clips are judged at a time."""

import pytest
import torch

from actionrec.native import batch_size, networks
from actionrec.spec.load import make_spec


def model_of(**changes):
    model = {"input_type": "3d", "rgb_seq_length": 4, "input_width": 32, "input_height": 32}
    return make_spec({"model": model | changes}, "test").model


def batches(memory: int, monkeypatch, model, cores: int = 1, **limits: int):
    monkeypatch.setattr(batch_size, "spare_memory", lambda: memory)
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    network = networks.build(model, 2).eval()
    return batch_size.batches(network, model, torch.device("cpu"), **limits)


def sizes(memory: int, monkeypatch, model, most: int = 64):
    return batches(memory, monkeypatch, model, most=most)[1]


def test_there_are_as_many_clips_as_memory_has_room_for(monkeypatch):
    model = model_of()
    poor = sizes(16 * 2**20, monkeypatch, model)(4)
    assert 1 <= poor < 64
    assert sizes(32 * 2**20, monkeypatch, model)(4) in (2 * poor, 2 * poor + 1)
    assert sizes(2**40, monkeypatch, model)(4) == 64
    assert sizes(2**40, monkeypatch, model, most=100)(4) == 100
    assert sizes(1, monkeypatch, model)(4) == 1


def test_longer_clips_are_fewer_at_a_time(monkeypatch):
    fitting = sizes(256 * 2**20, monkeypatch, model_of(), most=10**6)
    assert fitting(8) == fitting(4) // 2
    assert fitting(10**6) == 1


def test_as_many_cores_judge_as_memory_has_room_for(monkeypatch):
    beside, fitting = batches(2**40, monkeypatch, model_of(), cores=8)
    assert (beside, fitting(4)) == (8, 64)
    one = (
        next(
            size
            for size in range(2**20, 2**30, 2**20)
            if sizes(size, monkeypatch, model_of())(4) == 2
        )
        // 2
    )
    beside, fitting = batches(5 * one, monkeypatch, model_of(), cores=8)
    assert (beside, fitting(4)) == (5, 1)
    beside, fitting = batches(5 * one, monkeypatch, model_of(), cores=8, longest=8)
    assert (beside, fitting(4), fitting(8)) == (2, 2, 1)
    assert batches(1, monkeypatch, model_of(), cores=8)[0] == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backbone", ["resnet_18", "resnet_50", "i3d"])
def test_the_estimate_covers_what_a_gpu_takes(backbone):
    model = model_of(backbone=backbone, rgb_seq_length=16, input_width=224, input_height=224)
    network = networks.build(model, 2).eval().cuda()
    clip = torch.zeros(1, *networks.input_shapes(model)["rgb"], device="cuda")
    estimate = batch_size.MARGIN * batch_size._largest_layer(network, (clip,))
    clips = torch.zeros(8, *clip.shape[1:], device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.inference_mode():
        network(clips)
    assert torch.cuda.max_memory_allocated() - before <= 8 * estimate
