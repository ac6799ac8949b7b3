"""Whether a model's scores can be believed, and what a threshold on them costs and gains."""

from collections.abc import Sequence
from dataclasses import dataclass

from actionrec.experiments import reliability
from actionrec.experiments.predictions import Prediction

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
    """Return how scores and accuracy agree; None where the engine tells no scores."""
    scored = [(p.score, p.correct) for p in predictions if p.score is not None]
    if not scored:
        return None
    bins = reliability.reliability_bins(*zip(*scored, strict=True))
    error = round(100 * reliability.calibration_error(bins), 2)
    thresholds = [_threshold(scored, step / STEPS) for step in range(STEPS + 1)]
    return Calibration([_in_percent(found) for found in bins], error, thresholds)


def _in_percent(found: reliability.Bin) -> Bin:
    shares = (found.low, found.high, found.score, found.accuracy)
    low, high, score, accuracy = (round(100 * share, 2) for share in shares)
    return Bin(low, high, found.videos, score, accuracy)


def _threshold(scored: Sequence[tuple[float, bool]], threshold: float) -> Threshold:
    given = [right for score, right in scored if score >= threshold]
    accuracy = round(100 * sum(given) / len(given), 2) if given else None
    return Threshold(threshold, round(100 * len(given) / len(scored), 2), accuracy)
