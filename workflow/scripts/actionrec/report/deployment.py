"""What is known of the exported models: their files, and how they were verified and measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actionrec.report.summary import Run
from actionrec.utils.small_files import read_object

RECORD = "verification.json"
PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True)
class Check:
    """How an exported model did on the original test videos; None for what was not measured.

    `agreement` and `accuracy` are in percent, `error` is the expected calibration error before and
    after calibration, `unknown` counts the videos whose score is below the threshold.
    """

    precision: str
    provider: str
    videos: int
    agreement: float
    accuracy: float
    videos_per_second: float | None
    latency_ms: float | None
    error: tuple[float, float] | None
    unknown: int | None


@dataclass(frozen=True)
class Deployment:
    """An exported model: its files with their bytes, and its checks, where it was verified."""

    run: str
    folder: str
    files: dict[str, int]
    checks: list[Check] = field(default_factory=list)


def deployment(run: Run) -> Deployment | None:
    """Return what is in a run's folder of exports; None if nothing was exported."""
    folder = run.folder / "export"
    files = {file.name: file.stat().st_size for file in sorted(folder.glob("model*"))}
    return Deployment(run.name, str(folder), files, _checks(folder / RECORD)) if files else None


def _checks(file: Path) -> list[Check]:
    if not file.exists():
        return []
    content = read_object(file)
    return [_check(name, content[name]) for name in PRECISIONS if content.get(name)]


def _check(precision: str, found: Mapping[str, Any]) -> Check:
    error = found.get("calibration_error")
    return Check(
        precision,
        str(found.get("provider", "")),
        found["videos"],
        found["agreement"],
        found["accuracy"],
        found.get("videos_per_second"),
        found.get("latency_ms"),
        (error["before"], error["after"]) if error else None,
        found.get("unknown"),
    )
