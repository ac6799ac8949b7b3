"""The cosine schedule; TAO's schedules are tested by whole trainings."""

import math

import pytest
import torch

from actionrec.native.training import lr_schedules, sgd
from actionrec.spec.load import make_spec


def test_the_cosine_rate_rises_and_falls_by_steps():
    values = {"train": {"num_epochs": 5, "optim": {"lr": 0.4}}}
    values["native"] = {"lr_schedule": "cosine", "warmup_epochs": 0.5}
    settings = make_spec(values, "test")
    optimizer = sgd.build_optimizer([torch.zeros(1, requires_grad=True)], settings.train.optim)
    scheduler = lr_schedules.build_lr_scheduler(optimizer, settings, 4)
    rates = []
    for step in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        lr_schedules.step_after_batch(scheduler)
        if step % 4 == 3:
            lr_schedules.step_after_epoch(scheduler, {"val_loss": 1.0}, "val_loss")
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.4])
    expected = [0.2 * (1 + math.cos(math.pi * step / 18)) for step in range(18)]
    assert rates[2:] == pytest.approx(expected)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
