"""TAO's status.json: one JSON object per line, appended by every run of a task."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

EPOCHS = "epochs.jsonl"  # next to status.json: learning rate and device of each epoch


class StatusLog:
    """Append lines to a status.json as NVIDIA's status logger does (TAO 7.3).

    Every line repeats the latest key figures (`kpi`), until a line brings new ones.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kpi: dict[str, float] = {}

    def write(
        self,
        message: str,
        *,
        status: str = "RUNNING",
        kpi: Mapping[str, float] | None = None,
        progress: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one line; `progress` holds the keys in front of date and time."""
        now = datetime.now()
        self._kpi = dict(kpi or self._kpi)
        line: dict[str, Any] = {
            **(progress or {}),
            "date": f"{now.month}/{now.day}/{now.year}",
            "time": f"{now.hour}:{now.minute}:{now.second}",
            "status": status,
            "verbosity": "INFO",
            "message": message,
        }
        if self._kpi:
            line["kpi"] = self._kpi
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
