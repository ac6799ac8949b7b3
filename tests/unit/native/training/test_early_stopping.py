"""Early stopping: when the patience ends."""

import pytest

from actionrec.native.training.early_stopping import EarlyStopping
from actionrec.spec.load import make_spec


@pytest.mark.parametrize(("monitor", "sign"), [("val_loss", 1), ("val_acc_1", -1)])
def test_patience_counts_epochs_without_improvement(monitor, sign):
    settings = make_spec(
        {"native": {"early_stopping": {"patience": 2, "monitor": monitor}}}, "test"
    ).native.early_stopping
    stopping = EarlyStopping(settings)
    stops = []
    for value in (3, 2, 2, 1, 1.5, None, 1):
        stopping.update({} if value is None else {monitor: sign * value})
        stops.append(stopping.should_stop)
    assert stops == [False, False, False, False, False, False, True]
    assert stopping.best == sign
