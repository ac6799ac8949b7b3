"""Whether a model's scores can be believed, and what a threshold on them costs and gains."""

from collections.abc import Sequence
from dataclasses import dataclass

from actionrec.experiments.predictions import Prediction

BINS = 10
STEPS = 20


@dataclass(frozen=True)
class Bin:
    """The videos whose score is in an interval: their mean score and accuracy, in percent."""

    low: float
    high: float
    videos: int
    score: float
    accuracy: float


@dataclass(frozen=True)
class Threshold:
    """What remains if answers below a score are not given: their share and accuracy, in percent."""

    score: float
    answered: float
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Reliability diagram, expected calibration error in points, and the threshold curve."""

    bins: list[Bin]
    error: float
    thresholds: list[Threshold]


def calibration(predictions: Sequence[Prediction]) -> Calibration | None:
    """Return how scores and accuracy agree; None where the engine tells no scores.

    Guo et al., "On Calibration of Modern Neural Networks", 2017: equal bins, and the error as the
    mean distance of score and accuracy, weighted by videos.
    """
    scored = [(p.score, p.correct) for p in predictions if p.score is not None]
    if not scored:
        return None
    bins = [found for index in range(BINS) if (found := _bin(scored, index))]
    error = sum(b.videos * abs(b.score - b.accuracy) for b in bins) / len(scored)
    thresholds = [_threshold(scored, step / STEPS) for step in range(STEPS + 1)]
    return Calibration(bins, round(error, 2), thresholds)


def _bin(scored: Sequence[tuple[float, bool]], index: int) -> Bin | None:
    inside = [
        (score, right) for score, right in scored if min(BINS - 1, int(score * BINS)) == index
    ]
    if not inside:
        return None
    mean = 100 * sum(score for score, _ in inside) / len(inside)
    accuracy = 100 * sum(right for _, right in inside) / len(inside)
    low, high = 100 * index / BINS, 100 * (index + 1) / BINS
    return Bin(low, high, len(inside), round(mean, 2), round(accuracy, 2))


def _threshold(scored: Sequence[tuple[float, bool]], threshold: float) -> Threshold:
    given = [right for score, right in scored if score >= threshold]
    accuracy = round(100 * sum(given) / len(given), 2) if given else None
    return Threshold(threshold, round(100 * len(given) / len(scored), 2), accuracy)
