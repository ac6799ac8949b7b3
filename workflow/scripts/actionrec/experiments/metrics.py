"""Metrics of a classifier from one prediction a video, with TAO's meaning."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from actionrec.experiments.predictions import Prediction


def confusion_matrix(predictions: Sequence[Prediction], labels: Sequence[str]) -> list[list[int]]:
    """Count videos by true label (rows) and predicted label (columns), in the order of `labels`."""
    counts = Counter((p.label, p.prediction) for p in predictions)
    return [[counts[truth, guess] for guess in labels] for truth in labels]


def compute_metrics(predictions: Sequence[Prediction], labels: Sequence[str]) -> dict[str, Any]:
    """Score one prediction a video; accuracies are percentages, as TAO's.

    `m_accuracy` is the mean over all labels of the accuracy in each; a label without test videos
    counts 0 (TAO 7.3, pl_ar_model.py).
    """
    matrix = confusion_matrix(predictions, labels)
    videos = [sum(row) for row in matrix]
    right = [matrix[i][i] for i in range(len(labels))]
    shares = [100 * r / n if n else 0.0 for r, n in zip(right, videos, strict=True)]
    return {
        "accuracy": round(100 * sum(right) / max(1, sum(videos)), 3),
        "m_accuracy": round(sum(shares) / len(labels), 3),
        "videos": sum(videos),
        "labels": list(labels),
        "per_class": {
            label: {"accuracy": round(share, 3), "correct": r, "videos": n}
            for label, share, r, n in zip(labels, shares, right, videos, strict=True)
        },
        "confusion_matrix": matrix,
    }


def evaluate_figures(kpi: Mapping[str, float], spec: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the figures of the evaluate task, those that count clips as clip_accuracy, ....

    TAO counts clips, not videos, when `spec` has it look at several of each (7.3,
    pl_ar_model.py); the native engine reports both.
    """
    names = ("accuracy", "m_accuracy")
    by_clip = {f"clip_{name}": kpi.get(f"clip_{name}") for name in names}
    if None not in by_clip.values():
        return {name: kpi.get(name) for name in names} | by_clip
    mode = (spec.get("evaluate") or {}).get("video_eval_mode", "center")
    whole = mode == "all" and (spec.get("model") or {}).get("input_type") == "3d"
    prefix = "" if mode == "center" or whole else "clip_"
    return {prefix + name: kpi.get(name) for name in names}
