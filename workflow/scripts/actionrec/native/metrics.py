"""Metrics of a classifier, with TAO's meaning (7.3, pl_ar_model.py); needs no PyTorch.

The native engine's evaluate task prints and logs them; the workflow writes them to metrics.json.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def confusion_matrix(pairs: Iterable[tuple[int, int]], classes: int) -> np.ndarray:
    """Count pairs of (true, predicted) class ids in a (classes, classes) array, rows true."""
    matrix = np.zeros((classes, classes), np.int64)
    for true, predicted in pairs:
        matrix[true, predicted] += 1
    return matrix


def class_accuracies(confusion: np.ndarray) -> np.ndarray:
    """Return the percentage right of each class (classes,); 0 for a class without samples."""
    return 100.0 * confusion.diagonal() / np.maximum(1, confusion.sum(axis=1))


def accuracies(confusion: np.ndarray) -> dict[str, float]:
    """Return the percentage right of all, and the mean over all classes, absent ones included."""
    accuracy = 100.0 * confusion.trace() / max(1, confusion.sum())
    m_accuracy = class_accuracies(confusion).mean()
    return {"accuracy": round(float(accuracy), 3), "m_accuracy": round(float(m_accuracy), 3)}


def metrics_of_videos(confusion: np.ndarray, labels: Sequence[str]) -> dict[str, Any]:
    """Return what metrics.json says of a confusion matrix of videos, its classes in this order."""
    correct, videos = confusion.diagonal().tolist(), confusion.sum(axis=1).tolist()
    by_class = zip(labels, class_accuracies(confusion).tolist(), correct, videos, strict=True)
    return {
        **accuracies(confusion),
        "videos": sum(videos),
        "labels": list(labels),
        "per_class": {
            label: {"accuracy": round(accuracy, 3), "correct": right, "videos": number}
            for label, accuracy, right, number in by_class
        },
        "confusion_matrix": confusion.tolist(),
    }
