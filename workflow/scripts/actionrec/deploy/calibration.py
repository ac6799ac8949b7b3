"""Make scores honest: a temperature, and a threshold below which nothing is recognised.

Guo et al., "On Calibration of Modern Neural Networks", 2017: logits are divided by one number,
fitted on videos that the network was not trained on. Labels stay as they are. Few
videos say little of it, and without a mistake among them nothing would stop it from making every
score 1: so the fit begins with the belief that the network is about right, which more videos
outweigh.
"""

import numpy as np

from actionrec.deploy.model_card import Calibration
from actionrec.deploy.session import softmax
from actionrec.experiments import reliability

_COOLEST, _WARMEST = 0.05, 20.0
_BELIEF = 0.5  # standard deviation of the logarithm of the temperature
_MIN_VIDEOS = 8


def fit(logits: np.ndarray, labels: np.ndarray, videos: np.ndarray, keep: float) -> Calibration:
    """Return the calibration of clips, (clips, classes), whose videos have these class ids.

    `videos` is the index of each clip's video; a video's score is the mean over its clips, and
    `labels` are by video. Raises `ValueError` with too few videos, or none that is right.
    """
    if len(labels) < _MIN_VIDEOS:
        raise ValueError(f"{len(labels)} validation videos are too few: {_MIN_VIDEOS} are needed")
    temperature = _fit_temperature(logits, labels[videos])
    before = video_scores(softmax(logits), videos)
    after = video_scores(softmax(logits / temperature), videos)
    right = after.argmax(axis=1) == labels
    if not right.any():
        raise ValueError("no validation video is recognised")
    # The (1 - keep) share with the lowest scores is given up; the next one is the threshold.
    kept = np.sort(after.max(axis=1)[right])
    threshold = kept[int(np.floor((1 - keep) * len(kept) + 1e-9))]
    return Calibration(
        temperature=round(float(temperature), 6),
        # Rounded down, so that the video at the threshold is kept.
        threshold=float(np.floor(threshold * 1e6) / 1e6),
        keep=keep,
        videos=len(labels),
        error_before=round(calibration_error(before, labels), 4),
        error_after=round(calibration_error(after, labels), 4),
    )


def video_scores(scores: np.ndarray, videos: np.ndarray) -> np.ndarray:
    """Return the mean of the clips' probabilities for each video."""
    sums = np.zeros((int(videos.max()) + 1, scores.shape[1]))
    np.add.at(sums, videos, scores)
    return sums / np.bincount(videos)[:, None]


def calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error, 0 to 1, of probabilities, (videos, classes)."""
    best, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    return reliability.calibration_error(
        reliability.reliability_bins(best.tolist(), right.tolist())
    )


def _fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the most probable temperature: its logarithm is expected around 0 (normal, 0.5)."""

    def loss(log_temperature: float) -> float:
        scores = softmax(logits / np.exp(log_temperature))
        chosen = scores[np.arange(len(labels)), labels]
        likelihood = -np.log(np.maximum(chosen, 1e-300)).sum()
        return float(likelihood + (log_temperature / _BELIEF) ** 2 / 2)

    low, high = np.log(_COOLEST), np.log(_WARMEST)
    ratio = (np.sqrt(5) - 1) / 2  # golden section search
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))
