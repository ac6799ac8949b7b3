"""What is known of the exported models: their files, and how they were verified and measured."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actionrec.report.summary import Run

RECORDS = ("verification.json", "speed.json")  # of the deployment package, where it was made


@dataclass(frozen=True)
class Deployment:
    """An exported model: its files with their bytes, and the figures of its records."""

    run: str
    folder: str
    files: dict[str, int]
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)


def deployment(run: Run) -> Deployment | None:
    """Return what is in a run's folder of exports; None if nothing was exported."""
    folder = run.folder / "export"
    files = {file.name: file.stat().st_size for file in sorted(folder.glob("*")) if file.is_file()}
    if not files:
        return None
    return Deployment(
        run.name, str(folder), files, {n: _figures(folder / n) for n in RECORDS if n in files}
    )


def _figures(file: Path) -> dict[str, Any]:
    """Return the single values of a record."""
    content = json.loads(file.read_text(encoding="utf-8"))
    return {key: value for key, value in content.items() if isinstance(value, str | int | float)}
