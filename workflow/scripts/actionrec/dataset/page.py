"""Show a dataset before it is trained on: one page with counts, pictures and all that is wrong."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from actionrec.dataset.leakage import LOOKED_AT, frame_path
from actionrec.frames.manifest import Clip, read_manifest
from actionrec.utils.files import write_text
from actionrec.utils.pages import svg_url

CLIPS_SHOWN = 3  # of a class
FRAME_HEIGHT = 84  # pixels of a picture
LISTED = 200  # entries of each list of findings; dataset.json has all of them
COLOURS = {"train": "#3b6ea5", "val": "#e0a030", "test": "#5b9f6b", "videos": "#3b6ea5"}


def write_page(
    name: str,
    *,
    template: Path,
    summary: Path,
    manifests: Mapping[str, Path],
    frames: Path,
    output: Path,
) -> None:
    """Write dataset.html: one page that holds all it shows and opens from disk.

    `summary` is dataset.json, `frames` holds <class>/<video>/rgb. Equal data give an equal page.
    """
    from jinja2 import Environment, StrictUndefined

    dataset = json.loads(summary.read_text(encoding="utf-8"))
    clips = {cls: [c for c in read_manifest(m) if c.usable] for cls, m in manifests.items()}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    html = environment.from_string(template.read_text(encoding="utf-8")).render(
        name=name,
        dataset=dataset,
        findings=list(_findings(dataset)),
        listed=LISTED,
        counts=plot_counts(dataset),
        lengths=plot_lengths([clip.frames for of_class in clips.values() for clip in of_class]),
        sheets={cls: list(_sheet(frames, cls, of_class)) for cls, of_class in clips.items()},
    )
    write_text(output, html.encode("utf-8", "replace").decode())


def _findings(dataset: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what the user should look at: its title, why it matters, and the entries."""
    for number, split in dataset["splits"].items():
        if "problem" in split:
            yield _finding(f"Split {number} cannot be made", "bad", "", [split["problem"]])
            continue
        for kind, groups in split["leaks"].items():
            why = "The test or validation side is known from training: its score is too good."
            yield _finding(f"Split {number}: {kind} on two sides", "bad", why, _joined(groups))
    bad = [f"{clip['class']}/{clip['file']} {clip['reason']}" for clip in dataset["bad"]]
    yield _finding("Bad videos", "bad", "They are left out.", bad)
    conflicts = [group for group in dataset["duplicates"] if len(_classes(group)) > 1]
    why = "Equal files in different classes: one of the labels must be wrong."
    yield _finding("One video, two labels", "bad", why, _joined(conflicts))
    same = [group for group in dataset["duplicates"] if len(_classes(group)) == 1]
    yield _finding("Duplicates", "warn", "Equal files under different names.", _joined(same))
    why = "Their first, middle and last pictures are nearly equal: copies, or cuts of one scene."
    yield _finding("Videos that look alike", "warn", why, _joined(dataset["look_alikes"]))
    remarks = [f"{count} videos: {remark}" for remark, count in dataset["remarks"].items()]
    yield _finding("Remarks", "note", "These videos are used.", remarks)


def _finding(title: str, level: str, why: str, entries: Sequence[str]) -> dict[str, Any]:
    return {"title": title, "level": level, "why": why, "entries": entries}


def _joined(groups: Sequence[Sequence[str]]) -> list[str]:
    return [" = ".join(group) for group in groups]


def _classes(group: Sequence[str]) -> set[str]:
    return {entry.partition("/")[0] for entry in group}


def _sheet(frames: Path, cls: str, clips: Sequence[Clip]) -> Iterator[dict[str, Any]]:
    """Yield some clips of a class, evenly spread over their names, with a strip of their frames."""
    shown = min(CLIPS_SHOWN, len(clips))
    for index in range(shown):
        clip = clips[index * len(clips) // shown]
        if strip := _strip([frame_path(frames, cls, clip, share) for share in LOOKED_AT]):
            yield {"clip": clip, "strip": strip}


def _strip(paths: Sequence[Path]) -> str:
    """Return frames side by side as a small JPEG in a data address; "" when none can be read."""
    from PIL import Image

    images = []
    for path in paths:
        try:
            with Image.open(path) as image:
                width = max(1, round(image.width * FRAME_HEIGHT / image.height))
                images.append(image.convert("RGB").resize((width, FRAME_HEIGHT)))
        except OSError:
            continue
    if not images:
        return ""
    sheet = Image.new("RGB", (sum(image.width for image in images), FRAME_HEIGHT))
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width
    buffer = BytesIO()
    sheet.save(buffer, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def plot_counts(dataset: Mapping[str, Any]) -> str:
    """Draw the videos of each class, by part of the first split that can be made."""
    from matplotlib.figure import Figure

    classes = list(dataset["classes"])
    split = next((s["classes"] for s in dataset["splits"].values() if "classes" in s), None)
    figure = Figure(figsize=(8, 1.0 + 0.28 * len(classes)), layout="constrained")
    axes = figure.subplots()
    left = [0] * len(classes)
    for part in ("train", "val", "test") if split else ("videos",):
        table = split or dataset["classes"]
        widths = [table[cls][part] for cls in classes]
        axes.barh(classes, widths, left=left, color=COLOURS[part], label=part, height=0.7)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.bar_label(axes.containers[-1], labels=[str(n) for n in left], padding=3, fontsize=9)
    axes.invert_yaxis()  # label 0 on top
    if split:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return _bare(figure, axes, "videos")


def plot_lengths(lengths: Sequence[int]) -> str:
    """Draw how many videos have how many frames."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.4), layout="constrained")
    axes = figure.subplots()
    first, last = min(lengths, default=0), max(lengths, default=0)
    width = max(1, -(-(last - first + 1) // 40))  # whole frames, 40 bars at most
    edges = [edge - 0.5 for edge in range(first, last + width + 1, width)]
    axes.hist(lengths, bins=edges, color=COLOURS["videos"], rwidth=0.9)
    axes.set_ylabel("videos")
    return _bare(figure, axes, "frames in a video")


def _bare(figure: Any, axes: Any, label: str) -> str:
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return svg_url(figure)
