"""Estimate what the frames, the optical flow and the copies of a dataset will take on a disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionrec.preflight.class_space import Space, frames_table, measure, table_of


@dataclass(frozen=True)
class Need:
    """What will be put below `folder`, what that rests on, and whether that is its videos."""

    what: str
    folder: Path
    space: Space
    basis: str
    measured: bool = True
    copies: bool = False


def needs(config: Mapping[str, Any], block: int) -> list[Need]:
    """Return what the frames and the flow that are not there yet will take, and copies of them.

    `config` is what `config.params.preflight` returns. A file takes whole blocks of the file
    system, of `block` bytes. Links to frames take next to nothing, and are not counted.
    """
    dataset, experiments = config["dataset"], config["experiments"].values()
    folder = Path("resources", dataset["name"], "frames")
    frames = [cls for cls in dataset["classes"] if not frames_table(dataset, cls).exists()]
    seen = {
        cls for experiment in experiments if experiment["flow"] for cls in experiment["classes"]
    }
    flow = [cls for cls in sorted(seen) if not table_of(dataset, "flow", cls).exists()]
    copies = _copies(config)
    classes = list(dict.fromkeys([*frames, *flow, *(cls for cls, _ in copies)]))
    what = "the frames and their flow" if flow else "the frames"
    if dataset["source"] == "demo" or not classes:
        return [Need(what, folder, Space(), "the demo is small" if classes else "all are there")]
    found, basis, measured = measure(config, classes, block)
    space = sum((found[cls].frames for cls in frames), Space())
    space = sum((found[cls].flow for cls in flow), space)
    images = Need(what, folder, space, basis, measured)
    if not copies:
        return [images]
    each = (found[cls].frames + found[cls].flow * with_flow for cls, with_flow in copies)
    # The test videos are there twice: TAO's inference wants them in one folder.
    space = sum(each, Space()) * (1 + config["splits"]["test_fraction"])
    results = Path("results", dataset["name"], "experiments")
    return [images, Need("the copies of the frames", results, space, basis, measured, copies=True)]


def _copies(config: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Return each class as often as it is to be copied, and whether its flow is, too."""
    if config["splits"]["links"] != "copy":
        return []
    results = Path("results", config["dataset"]["name"], "experiments")
    return [
        (cls, experiment["flow"])
        for name, experiment in config["experiments"].items()
        for number in config["splits"]["numbers"]
        if not (results / name / f"split{number}" / "data").exists()
        for cls in experiment["classes"]
    ]
