"""Which gradients are summed together; what comes of it is tested by whole trainings."""

import torch
from torch import nn

from actionrec.native.distributed.gradient_sync import gradient_buckets


def parameters(*sizes: int) -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(size)) for size in sizes]


def test_over_slow_links_groups_go_in_the_order_of_backward():
    given = parameters(1, 1, 20, 2, 30, 10, 5)
    found = gradient_buckets(given, fast_links=False, max_bytes=80)  # bytes: 20 numbers
    assert [[len(p) for p in group] for group in found] == [[5, 10], [30], [2], [20], [1, 1]]


def test_over_swift_links_only_the_first_layer_goes_apart():
    first, *others = given = parameters(7, 1, 20, 2)
    found = gradient_buckets(given, fast_links=True)
    assert [[id(p) for p in group] for group in found] == [
        [id(p) for p in reversed(others)],
        [id(first)],
    ]
    assert len(gradient_buckets(parameters(3), fast_links=True)) == 1
