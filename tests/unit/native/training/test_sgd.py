"""SGD: a first step that fp16 skips."""

import torch

from actionrec.native import precision
from actionrec.native.training import sgd
from actionrec.spec.load import make_spec


def test_a_first_step_that_fp16_skips_leaves_no_trace():
    device = torch.device("cpu")
    steps_of = {}
    for spoilt in (True, False):
        torch.manual_seed(0)
        layer, clips = torch.nn.Linear(4, 2), torch.randn(3, 4)
        optim = make_spec({"train": {"optim": {"lr": 0.1}}}, "test").train.optim
        optimizer, scaler = (
            sgd.build_optimizer(layer.parameters(), optim),
            precision.grad_scaler("fp16", device),
        )
        for factor in ([1e4] if spoilt else []) + [1, 1]:
            with precision.autocast("fp16", device):
                loss = layer(factor * clips).float().pow(2).mean()
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        steps_of[spoilt] = layer.weight.detach()
    torch.testing.assert_close(steps_of[True], steps_of[False], rtol=1e-3, atol=1e-4)
