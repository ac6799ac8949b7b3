"""Early stopping: end the training when a metric has not improved for some epochs."""

from collections.abc import Mapping
from typing import Any


class EarlyStopping:
    """Watches the metric and the patience of native.early_stopping; `patience` None: never stop.

    `best` is the metric's best value so far, `stale` the number of epochs since.
    """

    def __init__(self, settings: Any) -> None:
        self.monitor: str = settings.monitor
        self._patience: int | None = settings.patience
        self.best: float | None = None
        self.stale = 0

    @property
    def should_stop(self) -> bool:
        """Whether the metric has not improved for `patience` epochs."""
        return self._patience is not None and self.stale >= self._patience

    def update(self, metrics: Mapping[str, float]) -> None:
        """Count an epoch with these metrics; one without the monitored metric does not count."""
        if self._patience is None or self.monitor not in metrics:
            return
        if self._is_improvement(metrics[self.monitor]):
            self.best, self.stale = metrics[self.monitor], 0
        else:
            self.stale += 1

    def _is_improvement(self, value: float) -> bool:
        if self.best is None:
            return True
        return value < self.best if self.monitor.endswith("loss") else value > self.best

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"best": self.best, "stale": self.stale}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore what `state_dict` has returned."""
        self.best, self.stale = state_dict["best"], state_dict["stale"]
