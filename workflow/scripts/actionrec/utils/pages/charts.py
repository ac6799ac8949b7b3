"""Charts as SVG that is part of the page, so that it follows the page's colours and width.

Plots of a plotting library come with colours of their own, which are wrong in a dark page, and with
ten times the size.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 34  # around the plot
TICKS = 5

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A named line through points; `style` is a class of the page's style sheet."""

    name: str
    points: Sequence[Point]
    style: str = "a"


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it is in pixels, and its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Marker:
    """A point of a line in pixels, and what it says when it is pointed at."""

    x: float
    y: float
    style: str
    text: str


@dataclass(frozen=True)
class Bar:
    """A bar of a chart in pixels, and what it says when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    text: str
    style: str = "a"


@dataclass(frozen=True)
class Chart:
    """What the template draws."""

    title: str
    x_label: str
    y_label: str
    paths: list[tuple[str, str]]  # style and path
    markers: list[Marker]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    names: list[tuple[str, str]] = field(default_factory=list)  # style and name, for the legend
    bars: list[Bar] = field(default_factory=list)
    width: int = WIDTH
    height: int = HEIGHT


def line_chart(
    title: str,
    lines: Iterable[Line],
    x_label: str,
    y_label: str,
    *,
    x_range: Point | None = None,
    y_range: Point | None = None,
    whole: bool = False,
    marked: bool = True,
) -> Chart | None:
    """Return a chart of lines; None if no line has a point. Ranges are those of the data.

    `whole` says that only whole numbers make sense on the x axis.
    """
    drawn = [line for line in lines if line.points]
    if not drawn:
        return None
    points = [point for line in drawn for point in line.points]
    x_ticks, (x_low, x_high) = _axis([x for x, _ in points], x_range, least=1.0 if whole else 0.0)
    y_ticks, (y_low, y_high) = _axis([y for _, y in points], y_range)

    def x_at(x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (x - x_low) / (x_high - x_low), 1)

    def y_at(y: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - y_low) / (y_high - y_low), 1)

    paths = [
        (line.style, "M" + "L".join(f"{x_at(x)} {y_at(y)}" for x, y in line.points))
        for line in drawn
    ]
    markers = [
        Marker(x_at(x), y_at(y), line.style, f"{line.name}: {x_label} {_text(x)}, {_text(y)}")
        for line in drawn
        for x, y in line.points
        if marked
    ]
    return Chart(
        title,
        x_label,
        y_label,
        paths,
        markers,
        [Tick(x_at(x), _text(x)) for x in x_ticks],
        [Tick(y_at(y), _text(y)) for y in y_ticks],
        [(line.style, line.name) for line in drawn if line.name],
    )


def bars(counts: Sequence[int], texts: Sequence[str], width: float, height: float) -> list[Bar]:
    """Return a bar for each count that is not zero, the largest of them as high as `height`."""
    step, unit = width / max(1, len(counts)), height / max(1, *counts, 0)
    return [
        Bar(
            round(index * step, 1),
            round(height - tall, 1),
            round(step * 0.88, 1),
            round(tall, 1),
            text,
        )
        for index, (number, text) in enumerate(zip(counts, texts, strict=True))
        if number and (tall := max(1.5, number * unit))  # a single video stays visible
    ]


def stack(numbers: Sequence[int], styles: Sequence[str], unit: float, height: float) -> list[Bar]:
    """Return bars in a row, `unit` pixels wide for each that they count."""
    found, left = [], 0.0
    for number, style in zip(numbers, styles, strict=True):
        found.append(Bar(round(left, 1), 0, round(number * unit, 1), height, "", style))
        left += number * unit
    return found


def histogram(
    title: str,
    counts: Sequence[int],
    names: Sequence[str],
    texts: Sequence[str],
    x_label: str,
    y_label: str,
) -> Chart | None:
    """Return a chart of bars; None if there is nothing to count.

    A bar's name stands below it, where there is space, and its text is shown at the pointer.
    """
    if not any(counts):
        return None
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    high = max(counts)
    y_ticks, _ = _axis([0, high], (0, high), least=1.0)
    step = -(-len(names) // 7)  # as many names as fit
    return Chart(
        title,
        x_label,
        y_label,
        [],
        [],
        [
            Tick(round(LEFT + plot_width * (index + 0.44) / len(counts), 1), names[index])
            for index in range(0, len(names), step)
        ],
        [Tick(round(HEIGHT - BOTTOM - plot_height * y / high, 1), _text(y)) for y in y_ticks],
        bars=[
            Bar(bar.x + LEFT, bar.y + TOP, bar.width, bar.height, bar.text)
            for bar in bars(counts, texts, plot_width, plot_height)
        ],
    )


def _axis(
    values: Sequence[float], limits: Point | None, least: float = 0.0
) -> tuple[list[float], Point]:
    """Return round numbers, `least` apart, for the ticks of an axis, and the range it shows."""
    low, high = limits or (min(values), max(values))
    if low == high:
        low, high = low - abs(low) / 2 - (low == 0), high + abs(high) / 2 + (high == 0)
    exact = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(exact))
    step = max(least, next(power * f for f in (1, 2, 5, 10) if power * f >= exact * 0.999))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)], (low, high)


def _text(value: float) -> str:
    return f"{value:.4g}"


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix in pixels: the cells that are not zero, and where its names stand.

    A cell is (row, column, count, share of the row). Large matrices have no names above.
    """

    cells: list[tuple[int, int, int, float]]
    cell: int
    font: int
    longest: int
    left: int
    top: int
    width: int
    height: int


SMALL = 12  # classes up to which a matrix shows all its numbers and names


def matrix_layout(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> Matrix:
    """Return how to draw a confusion matrix, rows true and columns predicted."""
    small = len(labels) <= SMALL
    cell, font, longest = (48, 14, 20) if small else (18, 12, 24)
    name = round(min(longest, max(map(len, labels))) * font * 0.62) + 10  # a letter's mean width
    top = round(name * 0.65) + 12 if small else 0
    cells = [
        (y, x, count, round(count / sum(row), 3))
        for y, row in enumerate(counts)
        for x, count in enumerate(row)
        if count
    ]
    side = len(labels) * cell
    right = round(name * 0.7) if small else 0  # the last name above leans out
    return Matrix(cells, cell, font, longest, name, top, name + side + right, top + side)
