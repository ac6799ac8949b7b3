"""Mixup and label smoothing."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from actionrec.native.training import mixup


def test_mixed_clips_and_their_loss_are_weighted_means():
    rng = torch.Generator().manual_seed(0)
    clips, logits = torch.rand(5, 3, 2, 4, 4, generator=rng), torch.rand(5, 3, generator=rng)
    labels = torch.tensor([0, 1, 2, 1, 0])
    mixed = mixup.mix(clips, 0.7)
    for index in range(5):
        torch.testing.assert_close(mixed[index], 0.7 * clips[index] + 0.3 * clips[4 - index])
    first, second = mixup.mix((clips, clips + 1), 0.7)
    torch.testing.assert_close(first, mixed)
    torch.testing.assert_close(second, mixed + 1)
    one_hot = F.one_hot(labels, 3) * 0.9 + 0.1 / 3
    targets = 0.7 * one_hot + 0.3 * one_hot.flip(0)
    expected = -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(mixup.cross_entropy(logits, labels, 0.7, 0.1), expected)
    torch.testing.assert_close(
        mixup.cross_entropy(logits, labels, 1.0, 0.0), F.cross_entropy(logits, labels)
    )


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_weights_are_the_larger_part_of_a_beta_draw(alpha):
    rng = np.random.default_rng(0)
    weights = np.array([mixup.draw_weight(alpha, rng) for _ in range(4000)])
    other = np.random.default_rng(1).beta(alpha, alpha, 4000)
    assert 0.5 <= weights.min() <= weights.max() <= 1
    for quantile in (0.25, 0.5, 0.75):
        expected = np.quantile(np.maximum(other, 1 - other), quantile)
        assert np.quantile(weights, quantile) == pytest.approx(expected, abs=0.02)
