"""Confidence intervals of accuracies."""

import pytest

from actionrec.report.intervals import wilson


@pytest.mark.parametrize(
    ("correct", "videos", "expected"),
    [
        (50, 100, (40.4, 59.6)),
        (1, 2, (9.5, 90.5)),
        (0, 10, (0.0, 27.8)),  # of published tables
        (10, 10, (72.2, 100.0)),
        (0, 0, (0.0, 100.0)),
    ],
)
def test_wilson(correct, videos, expected):
    assert wilson(correct, videos) == expected
