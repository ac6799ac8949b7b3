"""How far scores are from the share of right answers: reliability bins and the calibration error.

Guo et al., "On Calibration of Modern Neural Networks", 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass

BINS = 15  # of equal width, as in the paper


@dataclass(frozen=True)
class Bin:
    """The videos whose score is from `low` to `high`, with their mean score and accuracy.

    All four are from 0 to 1 here; the report states them in percent.
    """

    low: float
    high: float
    videos: int
    score: float
    accuracy: float


def reliability_bins(scores: Sequence[float], right: Sequence[bool]) -> list[Bin]:
    """Return the bins that hold a video, from each video's score and whether its answer is right.

    A score of 1 is in the last bin.
    """
    inside: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for score, correct in zip(scores, right, strict=True):
        inside[min(BINS - 1, int(score * BINS))].append((score, correct))
    return [
        Bin(
            index / BINS,
            (index + 1) / BINS,
            len(videos),
            sum(score for score, _ in videos) / len(videos),
            sum(correct for _, correct in videos) / len(videos),
        )
        for index, videos in enumerate(inside)
        if videos
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error, 0 to 1.

    That is the mean distance between the score and the accuracy of a bin, weighted by videos.
    """
    return sum(b.videos * abs(b.score - b.accuracy) for b in bins) / sum(b.videos for b in bins)
