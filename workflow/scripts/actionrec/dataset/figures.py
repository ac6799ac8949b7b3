"""The charts of the dataset page, drawn from what dataset.json holds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from actionrec.dataset.split_table import PARTS
from actionrec.utils.pages.charts import Bar, Chart, bars, histogram, stack
from actionrec.utils.text import count

SMALL = 120, 24  # pixels of a chart in a table: width and height
SIZES = 24  # bars of such a chart


def lengths(histograms: Mapping[str, Any]) -> Chart | None:
    """Return the chart of all lengths; dataset.json has the bins."""
    counts = [sum(of_bin) for of_bin in zip(*histograms["classes"].values(), strict=True)]
    lows = list(map(str, histograms["edges"][:-1]))
    texts = _length_texts(histograms["edges"], counts)
    return histogram("Videos by length", counts, lows, texts, "frames in a video", "videos")


def lengths_by_class(histograms: Mapping[str, Any]) -> dict[str, list[Bar]]:
    """Return the small chart of each class's lengths, in equal bins."""
    return {
        cls: bars(counts, _length_texts(histograms["edges"], counts), *SMALL)
        for cls, counts in histograms["classes"].items()
    }


def _length_texts(edges: Sequence[int], counts: Sequence[int]) -> list[str]:
    """Return what each bin says at the pointer."""
    return [
        f"{count(low, 'frame') if high == low + 1 else f'{low} to {high - 1} frames'}: "
        f"{count(number, 'video')}"
        for (low, high), number in zip(pairwise(edges), counts, strict=True)
    ]


def parts(dataset: Mapping[str, Any]) -> dict[str, list[Bar]]:
    """Return each class's videos as bars: the parts of the first split that can be made."""
    split = next((s["classes"] for s in dataset["splits"].values() if "classes" in s), None)
    of_class = {
        cls: [split[cls][part] for part in PARTS] if split else [counts["videos"]]
        for cls, counts in dataset["classes"].items()
    }
    width, height = SMALL
    unit = width / max([sum(numbers) for numbers in of_class.values()] + [1])
    styles = "abc" if split else "a"
    return {cls: stack(numbers, styles, unit, height) for cls, numbers in of_class.items()}


@dataclass(frozen=True)
class Side:
    """One part of a split as the page's table shows it: `kind` is "source video" or "group".

    `share` is the percentage of the part's videos that are of the largest source.
    """

    split: str
    part: str
    kind: str
    videos: int
    sources: int
    mean: float
    largest: str
    most: int
    share: float
    sizes: list[Bar]


def sides(dataset: Mapping[str, Any]) -> Iterator[Side]:
    """Yield how the videos of each part spread over their sources and groups."""
    for number, split in dataset["splits"].items():
        for kind, key in (("source video", "videos_by_source"), ("group", "videos_by_group")):
            for part, found in split.get(key, {}).items():
                if sizes := {int(size): n for size, n in found["sizes"].items()}:
                    yield _side(number, part, kind, sizes, found["largest"])


def _side(
    split: str, part: str, kind: str, sizes: Mapping[int, int], largest: Mapping[str, Any]
) -> Side:
    videos, sources = sum(size * n for size, n in sizes.items()), sum(sizes.values())
    # A bar for each number of videos from 1 on, in steps where they are many.
    step = -(-max(sizes) // SIZES)
    counts = [
        sum(n for size, n in sizes.items() if (size - 1) // step == index)
        for index in range(-(-max(sizes) // step))
    ]
    texts = [
        f"{count(n, kind)} with "
        + (count(low, "video") if step == 1 else f"{low} to {low + step - 1} videos")
        for low, n in zip(range(1, max(sizes) + 1, step), counts, strict=True)
    ]
    name, most = largest["name"], largest["videos"]
    shown, mean, share = bars(counts, texts, *SMALL), videos / sources, 100 * most / videos
    return Side(split, part, kind, videos, sources, mean, name, most, share, shown)
