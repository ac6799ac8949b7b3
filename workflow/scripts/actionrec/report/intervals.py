"""How far a share of test videos can be trusted."""

import math

FEW_VIDEOS = 100  # below, an interval is more than 20 points wide in the middle
Z95 = 1.959964  # of the normal distribution, for 95 %


def wilson(correct: int, videos: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of an accuracy, both ends in percent.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927. It holds
    for other videos of the same kind and one trained model; another seed adds its own spread.
    """
    if not videos:
        return 0.0, 100.0
    share, square = correct / videos, Z95**2
    centre = (share + square / (2 * videos)) / (1 + square / videos)
    variance = share * (1 - share) / videos + square / (4 * videos**2)
    side = Z95 * math.sqrt(variance) / (1 + square / videos)
    return round(100 * (centre - side), 1), round(100 * (centre + side), 1)
