"""The mode of float32 products."""

import torch

from actionrec.native import precision


def test_tf32_is_set_only_when_it_is_asked_for():
    before = torch.backends.cudnn.conv.fp32_precision
    precision.set_float32_mode("tao", torch.device("cpu"))
    assert torch.backends.cudnn.conv.fp32_precision == before
    for name, expected in (("tf32", "tf32"), ("fp32", "ieee")):
        precision.set_float32_mode(name, torch.device("cpu"))
        assert torch.backends.cuda.matmul.fp32_precision == expected
        assert torch.backends.cudnn.conv.fp32_precision == expected
