"""SGD: its state, and a first step that fp16 skips."""

import torch

from actionrec.native import precision
from actionrec.native.training import sgd
from actionrec.spec.load import make_spec


def test_a_first_step_that_fp16_skips_leaves_no_trace():
    device = torch.device("cpu")
    steps_of = {}
    for overflow in (True, False):
        torch.manual_seed(0)
        layer, clips = torch.nn.Linear(4, 2), torch.randn(3, 4)
        optim = make_spec({"train": {"optim": {"lr": 0.1}}}, "test").train.optim
        optimizer = sgd.build_optimizer(layer.parameters(), optim)
        scaler = precision.grad_scaler("fp16", device)
        for factor in ([1e4] if overflow else []) + [1, 1]:
            with precision.autocast("fp16", device):
                loss = layer(factor * clips).float().pow(2).mean()
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        steps_of[overflow] = layer.weight.detach()
    torch.testing.assert_close(steps_of[True], steps_of[False], rtol=1e-3, atol=1e-4)


def test_the_state_loads_in_pytorchs_sgd_and_back():
    optim = make_spec({"train": {"optim": {"lr": 0.1, "weight_decay": 0.0}}}, "test").train.optim
    weight = torch.nn.Parameter(torch.ones(3))
    ours, theirs = sgd.build_optimizer([weight], optim), torch.optim.SGD([weight], lr=1.0)
    weight.grad = torch.tensor([1.0, 2.0, 3.0])
    ours.step()
    theirs.load_state_dict(ours.state_dict())
    assert theirs.param_groups[0]["lr"] == 0.1
    assert not theirs.param_groups[0]["fused"]
    ours.load_state_dict(theirs.state_dict())
    assert ours.param_groups[0]["fused"]
    torch.testing.assert_close(ours.state[weight]["momentum_buffer"], weight.grad)
