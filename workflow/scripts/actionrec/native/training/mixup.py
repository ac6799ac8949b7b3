"""Mixup: training on weighted means of two clips.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.
"""

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor


def draw_share(alpha: float, rng: np.random.Generator) -> float:
    """Draw the share of the clip that weighs more, from Beta(alpha, alpha)."""
    share = float(rng.beta(alpha, alpha))
    return max(share, 1 - share)


def mix(inputs: Any, share: float) -> Any:
    """Return each clip of a batch mixed with its counterpart when the batch is read backwards.

    The order of a batch is random, so the counterpart is. `inputs` is a tensor, or a tuple of one
    for each stream, which are mixed alike; `share` is the clip's own.
    """
    if isinstance(inputs, tuple):
        return tuple(mix(stream, share) for stream in inputs)
    return inputs.lerp(inputs.flip(0), 1 - share)


def loss(logits: Tensor, labels: Tensor, share: float, smoothing: float) -> Tensor:
    """Return the cross-entropy against the labels of both clips, weighted by their shares.

    `smoothing` is the part of each target that all classes have alike (Szegedy et al.,
    "Rethinking the Inception Architecture", 2016).
    """
    own = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    if share == 1:
        return own
    return share * own + (1 - share) * F.cross_entropy(
        logits, labels.flip(0), label_smoothing=smoothing
    )
