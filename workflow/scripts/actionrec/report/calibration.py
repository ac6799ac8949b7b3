"""Whether a model's scores can be believed, and what a threshold on them costs and gains."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from actionrec.experiments.predictions import Prediction
from actionrec.experiments.reliability import Bin, calibration_error, reliability_bins

STEPS = 20


@dataclass(frozen=True)
class Threshold:
    """What remains if answers below a score are not given: their share and accuracy, in percent."""

    score: float
    answered: float
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Reliability diagram, expected calibration error in points, and the threshold curve."""

    bins: list[Bin]  # in percent
    error: float
    thresholds: list[Threshold]


def calibration(predictions: Sequence[Prediction]) -> Calibration | None:
    """Return how scores and accuracy agree; None where the engine tells no scores."""
    scored = [(p.score, p.correct) for p in predictions if p.score is not None]
    if not scored:
        return None
    bins = reliability_bins(*zip(*scored, strict=True))
    error = round(100 * calibration_error(bins), 2)
    thresholds = [_threshold(scored, step / STEPS) for step in range(STEPS + 1)]
    return Calibration([_in_percent(found) for found in bins], error, thresholds)


def _in_percent(found: Bin) -> Bin:
    shares = {name: getattr(found, name) for name in ("low", "high", "score", "accuracy")}
    return replace(found, **{name: round(100 * share, 2) for name, share in shares.items()})


def _threshold(scored: Sequence[tuple[float, bool]], threshold: float) -> Threshold:
    given = [right for score, right in scored if score >= threshold]
    accuracy = round(100 * sum(given) / len(given), 2) if given else None
    return Threshold(threshold, round(100 * len(given) / len(scored), 2), accuracy)
