"""How many clips are judged at a time."""

import pytest
import torch

from actionrec import spec as specs
from actionrec.native import footprint, networks


def model_of(**changes):
    model = {"input_type": "3d", "rgb_seq_length": 4, "input_width": 32, "input_height": 32}
    return specs.merge({"model": model | changes}, "test").model


def sizes(memory: int, monkeypatch, model, most: int = 64):
    monkeypatch.setattr(footprint, "spare_memory", lambda: memory)
    network = networks.build(model, 2).eval()
    return footprint.batch_size(network, model, torch.device("cpu"), most)


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backbone", ["resnet_18", "resnet_50", "i3d"])
def test_the_estimate_covers_what_a_gpu_takes(backbone):
    model = model_of(backbone=backbone, rgb_seq_length=16, input_width=224, input_height=224)
    network = networks.build(model, 2).eval().cuda()
    clip = torch.zeros(1, *networks.input_shapes(model)["rgb"], device="cuda")
    estimate = footprint.MARGIN * footprint._largest_layer(network, (clip,))
    clips = torch.zeros(8, *clip.shape[1:], device="cuda")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.inference_mode():
        network(clips)
    assert torch.cuda.max_memory_allocated() - before <= 8 * estimate
