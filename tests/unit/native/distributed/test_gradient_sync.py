"""Which gradients are reduced together; their values are tested by whole trainings."""

import torch
from torch import nn

from actionrec.native.distributed.gradient_sync import gradient_buckets


def parameters(*sizes: int) -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(size)) for size in sizes]


def test_over_slow_links_buckets_follow_the_order_of_backward():
    given = parameters(1, 1, 20, 2, 30, 10, 5)
    found = gradient_buckets(given, fast_links=False, max_bytes=80)  # bytes: 20 numbers
    assert [[len(p) for p in bucket] for bucket in found] == [[5, 10], [30], [2], [20], [1, 1]]


def test_over_fast_links_only_the_first_layer_is_reduced_apart():
    first, *others = given = parameters(7, 1, 20, 2)
    found = gradient_buckets(given, fast_links=True)
    assert [[id(p) for p in bucket] for bucket in found] == [
        [id(p) for p in reversed(others)],
        [id(first)],
    ]
    assert len(gradient_buckets(parameters(3), fast_links=True)) == 1
