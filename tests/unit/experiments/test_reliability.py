"""The calibration error: known answers, and one computation for the report and for the export."""

import numpy as np
import pytest

from actionrec.deploy import calibration as of_export
from actionrec.experiments.predictions import Prediction
from actionrec.experiments.reliability import BINS, calibration_error, reliability_bins
from actionrec.report.calibration import calibration as of_report


def test_bins_and_their_error():
    bins = reliability_bins([0.0, 0.5, 0.5, 1.0], [False, True, False, True])
    assert [(round(b.low * BINS), b.videos, b.score, b.accuracy) for b in bins] == [
        (0, 1, 0.0, 0.0),
        (7, 2, 0.5, 0.5),
        (14, 1, 1.0, 1.0),
    ]
    assert calibration_error(bins) == 0
    assert calibration_error(reliability_bins([0.9, 0.92, 0.1], [False, False, True])) == (
        pytest.approx((0.9 + 0.92 + 0.9) / 3)
    )


def test_report_and_export_agree():
    draws = np.random.default_rng(0)
    scores = draws.dirichlet(np.ones(3), 300)
    labels = draws.integers(0, 3, 300)
    predictions = [
        Prediction(str(n), str(label), str(row.argmax()), row.max())
        for n, (row, label) in enumerate(zip(scores, labels, strict=True))
    ]
    error = of_export.calibration_error(scores, labels)
    assert error > 0.1
    assert of_report(predictions).error == pytest.approx(100 * error, abs=0.005)
