"""Which gradients are summed together; what comes of it is tested by whole trainings."""

import torch
from torch import nn

from actionrec.native.averaging import groups


def test_groups_keep_the_order_and_the_size():
    sizes = [5, 10, 30, 2, 20, 1, 1]
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    found = groups(parameters, most=80)  # bytes: 20 numbers
    assert [[len(p) for p in group] for group in found] == [[5, 10], [30], [2], [20], [1, 1]]
