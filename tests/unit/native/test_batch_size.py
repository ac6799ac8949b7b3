"""How many clips are scored at a time."""

import pytest
import torch

from actionrec.native import batch_size, networks
from actionrec.spec.load import make_spec


def model_of(**changes):
    model = {"input_type": "3d", "rgb_seq_length": 4, "input_width": 32, "input_height": 32}
    return make_spec({"model": model | changes}, "test").model


def plan(memory: int, monkeypatch, model, cores: int = 1, **limits: int):
    monkeypatch.setattr(batch_size, "spare_memory", lambda: memory)
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    network = networks.build(model, 2).eval()
    return batch_size.plan_batches(network, model, torch.device("cpu"), **limits)


def sizes(memory: int, monkeypatch, model, most: int = 64):
    return plan(memory, monkeypatch, model, max_batch_size=most).batch_size


def test_a_batch_has_as_many_clips_as_fit_into_memory(monkeypatch):
    model = model_of()
    few = sizes(16 * 2**20, monkeypatch, model)(4)
    assert 1 <= few < 64
    assert sizes(32 * 2**20, monkeypatch, model)(4) in (2 * few, 2 * few + 1)
    assert sizes(2**40, monkeypatch, model)(4) == 64
    assert sizes(2**40, monkeypatch, model, most=100)(4) == 100
    assert sizes(1, monkeypatch, model)(4) == 1


def test_a_batch_has_fewer_clips_if_they_are_longer(monkeypatch):
    size = sizes(256 * 2**20, monkeypatch, model_of(), most=10**6)
    assert size(8) == size(4) // 2
    assert size(10**6) == 1


def test_as_many_cores_score_as_have_memory_for_a_clip(monkeypatch):
    found = plan(2**40, monkeypatch, model_of(), cores=8)
    assert (found.parallel, found.batch_size(4)) == (8, 64)
    one = (
        next(
            size
            for size in range(2**20, 2**30, 2**20)
            if sizes(size, monkeypatch, model_of())(4) == 2
        )
        // 2
    )
    found = plan(5 * one, monkeypatch, model_of(), cores=8)
    assert (found.parallel, found.batch_size(4)) == (5, 1)
    found = plan(5 * one, monkeypatch, model_of(), cores=8, longest_clip=8)
    assert (found.parallel, found.batch_size(4), found.batch_size(8)) == (2, 2, 1)
    assert plan(1, monkeypatch, model_of(), cores=8).parallel == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backbone", ["resnet_18", "resnet_50", "i3d"])
def test_the_estimate_covers_what_a_gpu_needs(backbone):
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
