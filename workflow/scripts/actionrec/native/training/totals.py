"""Loss and accuracy over many batches, added up on the device: nothing here waits for a GPU."""

import torch
from torch import Tensor


def new_totals(device: torch.device) -> Tensor:
    """Return zero totals (3,): loss summed over clips, correct clips, all clips.

    They are float64, so that the sums do not depend on which rank adds up which batches.
    """
    return torch.zeros(3, dtype=torch.float64, device=device)


@torch.no_grad()
def add_batch(totals: Tensor, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
    """Add a batch with its mean loss, logits (N, classes) and labels (N,)."""
    totals[0] += loss.double() * len(labels)
    totals[1] += (logits.argmax(dim=1) == labels).sum()
    totals[2] += len(labels)


def loss_and_accuracy(totals: Tensor) -> tuple[float, float]:
    """Return the mean loss and the accuracy, from 0 to 1; this waits for a GPU."""
    loss, accuracy = (totals[:2] / totals[2]).tolist()
    return loss, accuracy
