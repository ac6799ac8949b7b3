"""Early stopping: when an epoch's metric has not improved for too long."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Record:
    """The best value of the monitored metric so far, and how many epochs ago it was."""

    best: float | None = None
    stale: int = 0


def note(record: Record, metrics: Mapping[str, float], settings: Any) -> None:
    """Count an epoch; one without the monitored metric does not count."""
    if settings.patience is None or settings.monitor not in metrics:
        return
    value = metrics[settings.monitor]
    falling = settings.monitor.endswith("loss")
    if record.best is None or (value < record.best if falling else value > record.best):
        record.best, record.stale = value, 0
    else:
        record.stale += 1


def is_due(record: Record, settings: Any) -> bool:
    """Tell whether the training should end."""
    return settings.patience is not None and record.stale >= settings.patience
