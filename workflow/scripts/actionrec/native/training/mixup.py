"""Mixup: training on weighted means of two clips.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.
"""

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor


def draw_weight(alpha: float, rng: np.random.Generator) -> float:
    """Draw the weight of the dominant clip, at least 0.5, from Beta(alpha, alpha)."""
    weight = float(rng.beta(alpha, alpha))
    return max(weight, 1 - weight)


def mix(inputs: Any, weight: float) -> Any:
    """Return each clip of a batch mixed with its counterpart in the reversed batch.

    The order of a batch is random, so the counterpart is, too. `inputs` is a tensor (N, ...), or a
    tuple of one for each stream, which are mixed alike. `weight` is the clip's own.
    """
    if isinstance(inputs, tuple):
        return tuple(mix(stream, weight) for stream in inputs)
    return inputs.lerp(inputs.flip(0), 1 - weight)


def cross_entropy(logits: Tensor, labels: Tensor, weight: float, smoothing: float) -> Tensor:
    """Return the loss of mixed clips: the weighted mean over the labels of both.

    `logits` are (N, classes), `labels` (N,) those of the dominant clips; `weight` 1 means no
    mixup. `smoothing` is the part of each target that is spread over all classes (Szegedy et al.,
    "Rethinking the Inception Architecture for Computer Vision", 2016).
    """
    own = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    if weight == 1:
        return own
    return weight * own + (1 - weight) * F.cross_entropy(
        logits, labels.flip(0), label_smoothing=smoothing
    )
