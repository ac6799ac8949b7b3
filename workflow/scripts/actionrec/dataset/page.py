"""Show a dataset before it is trained on: one page with counts, pictures and all that is wrong."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actionrec.dataset.findings import comparisons, findings
from actionrec.dataset.fingerprints import SAMPLED_AT, frame_path
from actionrec.dataset.summary import rate, source_size
from actionrec.frames.manifest import STATUSES, FrameRecord, read_manifest
from actionrec.utils.pages import jpeg_url, plain, svg_url
from actionrec.utils.pages import write_page as write_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VIDEOS_SHOWN = 3  # of a class
FRAME_HEIGHT = 84  # pixels of a picture
ROWS, ROWS_OF_CLASS = 2000, 40  # of the tables of videos: of all classes, at least of each
LISTED = 200  # entries of each finding; dataset.json has all of them
COLOURS = {"train": "#3b6ea5", "val": "#e0a030", "test": "#5b9f6b", "videos": "#3b6ea5"}


@dataclass(frozen=True)
class Strip:
    """A video and some of its frames next to each other, as a data URL."""

    clip: FrameRecord
    picture: str


def write_page(
    name: str,
    *,
    template: Path | str,
    summary: Path | str,
    manifests: Mapping[str, Path | str],
    frames: Path | str,
    output: Path | str,
    tolerate: int | None = None,
) -> None:
    """Write dataset.html: one page that holds all it shows and opens from disk.

    `summary` is dataset.json, `frames` holds <class>/<video>/rgb, `tolerate` is frames.tolerate.
    Equal data give an equal page.
    """
    dataset = json.loads(Path(summary).read_text(encoding="utf-8"))
    records = {cls: read_manifest(Path(manifest)) for cls, manifest in manifests.items()}
    clips = {cls: [clip for clip in of if clip.usable] for cls, of in records.items()}
    write_html(
        template,
        output,
        name=name,
        dataset=dataset,
        findings=findings(dataset, tolerate),
        comparisons=comparisons(dataset),
        listed=LISTED,
        tables=list(_tables(records)),
        counts=plot_counts(dataset),
        lengths=plot_lengths([clip.frames for of_class in clips.values() for clip in of_class]),
        strips={cls: list(_strips(Path(frames), cls, of)) for cls, of in clips.items()},
    )


def _facts(clip: FrameRecord) -> dict[str, Any]:
    """Return what the page's table says of a video."""
    notes = [clip.orientation, f"{clip.interlaced} interlaced frames" * (clip.interlaced > 0)]
    known = {
        "codec": clip.codec,
        "size": source_size(clip),
        "rate": rate(clip) if clip.fps else "",
        "seconds": f"{clip.frames / clip.fps:.1f}" if clip.fps else "",
    }
    return {
        "name": clip.display_name,
        "status": clip.status,
        "frames": clip.frames,
        **(known if clip.usable else dict.fromkeys(known, "") | {"codec": clip.codec}),
        "notes": "; ".join(filter(None, [*notes, clip.reason])),
    }


def _tables(
    clips: Mapping[str, Sequence[FrameRecord]],
) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Yield class, number of videos and rows of facts, those with a problem or remark first."""
    limit = max(ROWS_OF_CLASS, ROWS // max(1, len(clips)))
    for cls, of_class in clips.items():
        order = sorted(of_class, key=lambda clip: (-STATUSES.index(clip.status), clip.video))
        yield cls, len(of_class), [_facts(clip) for clip in order[:limit]]


def _strips(frames: Path, cls: str, clips: Sequence[FrameRecord]) -> Iterator[Strip]:
    """Yield some videos of a class, evenly spread over their names, with some of their frames."""
    shown = min(VIDEOS_SHOWN, len(clips))
    for index in range(shown):
        clip = clips[index * len(clips) // shown]
        if picture := _strip([frame_path(frames, cls, clip, share) for share in SAMPLED_AT]):
            yield Strip(clip, picture)


def _strip(paths: Sequence[Path]) -> str:
    """Return frames next to each other as a data URL; "" when none can be read."""
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
    for picture in images:
        sheet.paste(picture, (left, 0))
        left += picture.width
    return jpeg_url(sheet)


def plot_counts(dataset: Mapping[str, Any]) -> str:
    """Plot the videos of each class, by part of the first split that can be made."""
    from matplotlib.figure import Figure

    classes = list(dataset["classes"])
    split = next((s["classes"] for s in dataset["splits"].values() if "classes" in s), None)
    figure = Figure(figsize=(8, 1.0 + 0.28 * len(classes)), layout="constrained")
    axes = figure.subplots()
    totals = [0] * len(classes)
    for part in ("train", "val", "test") if split else ("videos",):
        table = split or dataset["classes"]
        widths = [table[cls][part] for cls in classes]
        names = list(map(plain, classes))
        bars = axes.barh(names, widths, left=totals, color=COLOURS[part], label=part, height=0.7)
        totals = [a + b for a, b in zip(totals, widths, strict=True)]
    axes.bar_label(bars, labels=[str(n) for n in totals], padding=3, fontsize=9)
    axes.invert_yaxis()  # label 0 on top
    if split:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return _finished(figure, axes, "videos")


def plot_lengths(lengths: Sequence[int]) -> str:
    """Plot how many videos have how many frames."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.4), layout="constrained")
    axes = figure.subplots()
    first, last = min(lengths, default=0), max(lengths, default=0)
    width = max(1, -(-(last - first + 1) // 40))  # whole frames, 40 bars at most
    edges = [edge - 0.5 for edge in range(first, last + width + 1, width)]
    axes.hist(lengths, bins=edges, color=COLOURS["videos"], rwidth=0.9)
    axes.set_ylabel("videos")
    return _finished(figure, axes, "frames in a video")


def _finished(figure: "Figure", axes: "Axes", label: str) -> str:
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(axis="x", integer=True)
    return svg_url(figure)
