"""Which classes a model confuses: figures of each class, and the largest confusions."""

from collections.abc import Sequence
from dataclasses import dataclass

from actionrec.experiments.predictions import Prediction
from actionrec.report.statistics import wilson_interval

TOP = (1, 3, 5)


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is recognised, in percent; None where a figure is not defined.

    `recall` is the share of its videos that are recognised, with its 95 % confidence interval;
    `precision` the share of the answers with this class that are right.
    """

    label: str
    videos: int
    correct: int
    answers: int
    recall: float | None
    low: float
    high: float
    precision: float | None
    f1: float | None


def figures_of_classes(
    matrix: Sequence[Sequence[int]], labels: Sequence[str]
) -> list[ClassFigures]:
    """Return the figures of each class from a confusion matrix, rows true, columns predicted."""
    found = []
    for index, label in enumerate(labels):
        videos, correct = sum(matrix[index]), matrix[index][index]
        answers = sum(row[index] for row in matrix)
        recall, precision = _percent(correct, videos), _percent(correct, answers)
        f1 = _percent(2 * correct, videos + answers)
        low, high = wilson_interval(correct / videos if videos else 0, videos)
        limits = round(100 * low, 1), round(100 * high, 1)
        found.append(ClassFigures(label, videos, correct, answers, recall, *limits, precision, f1))
    return found


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 1) if whole else None


@dataclass(frozen=True)
class Confusion:
    """So many of the `videos` of a class that are taken for another one."""

    label: str
    prediction: str
    count: int
    videos: int


def largest_confusions(
    matrix: Sequence[Sequence[int]], labels: Sequence[str], number: int = 8
) -> list[Confusion]:
    """Return the confusions with most videos, of equal ones those of rarer classes first."""
    found = [
        Confusion(label, labels[column], count, sum(row))
        for label, row in zip(labels, matrix, strict=True)
        for column, count in enumerate(row)
        if count and labels[column] != label
    ]
    return sorted(found, key=lambda c: (-c.count, c.videos, c.label, c.prediction))[:number]


def top_k(predictions: Sequence[Prediction], classes: int) -> dict[int, float]:
    """Return in how many percent of the videos the true class is among the first k answers.

    It is empty where the engine does not tell the ranks of the classes.
    """
    ranks = [p.rank for p in predictions if p.rank is not None]
    if not ranks or len(ranks) < len(predictions):
        return {}
    return {
        k: round(100 * sum(rank <= k for rank in ranks) / len(ranks), 2)
        for k in TOP
        if k < classes or k == 1
    }
