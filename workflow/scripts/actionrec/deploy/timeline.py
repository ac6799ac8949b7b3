"""Long videos: windows that slide over them, and the segments that their scores add up to."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from actionrec.deploy.model_card import UNKNOWN, ModelCard
from actionrec.deploy.preparation import Clip, Moment, Preparation
from actionrec.native.data import frame_sampling

_MIN_STRIDE = 0.25  # seconds
SWITCH = 2.0  # log-likelihood that a change of label must be worth: a short doubt is none
_LONG = 2.0  # times the longest training video: a longer one is read in windows


@dataclass(frozen=True)
class Windows:
    """Windows of `length` seconds, each `stride` seconds after the last one."""

    length: float
    stride: float

    @classmethod
    def of_card(
        cls, card: ModelCard, length: float | None = None, stride: float | None = None
    ) -> "Windows":
        """Return the windows asked for; by default as long as a clip was in training."""
        length = length or card.sampling.span_seconds or 2.0
        return cls(length, stride or max(length / 2, _MIN_STRIDE))


@dataclass(frozen=True)
class Window:
    """A window and the clip that the network sees of it."""

    start: float
    end: float
    clip: Clip


@dataclass(frozen=True)
class Segment:
    """A stretch of a video with one label; `score` is the mean of the label's score."""

    start: float
    end: float
    label: str
    score: float


def is_long(card: ModelCard, seconds: float) -> bool:
    """Tell whether a video is so long that one clip of it cannot be what training showed."""
    longest = card.sampling.longest_video_seconds
    return longest is not None and seconds > _LONG * longest


@dataclass
class _Open:
    start: float
    times: list[float]
    moments: list[Moment] = field(default_factory=list)

    def take(self, moment: Moment, until: float) -> bool:
        """Take a moment for each time to sample until the next one comes; tell if it was taken."""
        before = len(self.moments)
        while not self.full and self.times[len(self.moments)] < until:
            self.moments.append(moment)
        return len(self.moments) > before

    @property
    def full(self) -> bool:
        """Tell whether all frames have been taken."""
        return len(self.moments) == len(self.times)


def slide(
    preparation: Preparation, moments: Iterable[Moment], windows: Windows, last_shown: float = 0.0
) -> Iterator[Window]:
    """Yield the windows of a video as soon as they are complete.

    A window is divided into as many equal parts as a clip has frames, and the frame shown in the
    middle of each is taken: what both sampling strategies do with a stretch of this length, at any
    frame rate. Frames are held only while an open window has taken them. At the end of the video,
    windows that have more than half of their frames repeat the last one, for a video that is
    shorter than a window too. `last_shown` is for how many seconds the last frame is shown.
    """
    slider: _Slider | None = None
    previous: Moment | None = None
    for moment in moments:
        if slider is None or previous is None:
            slider = _Slider(preparation, windows, moment.time)
        else:
            yield from slider.show(previous, moment.time)
        previous = moment
    if slider and previous:
        end = previous.time + last_shown
        yield from slider.show(previous, math.nextafter(end, math.inf))
        yield from slider.finish(previous, end)


class _Slider:
    """The windows that are open at a moment of a video that begins at `origin` seconds."""

    def __init__(self, preparation: Preparation, windows: Windows, origin: float) -> None:
        self._preparation, self._windows, self._origin = preparation, windows, origin
        self._count = max(part.frames for part in preparation.card.inputs)
        self._open: deque[_Open] = deque()
        self._opened = self._complete = 0

    def show(self, moment: Moment, until: float) -> Iterator[Window]:
        """Show a moment until a time; yield the windows that are complete by then."""
        self._open_until(until)
        for window in self._open:
            if window.take(moment, until):
                moment.prepare()
        while self._open and self._open[0].full:
            yield self._closed(self._windows.length)

    def finish(self, last: Moment, end: float) -> Iterator[Window]:
        """Yield what is left at the end of the video."""
        while self._open:
            taken = len(self._open[0].moments)
            if taken > self._count / 2 or (taken and not self._complete):
                self._open[0].take(last, math.inf)
                last.prepare()
                yield self._closed(min(self._windows.length, end - self._open[0].start))
            else:
                self._open.popleft()

    def _open_until(self, until: float) -> None:
        step = self._windows.length / self._count
        while (start := self._origin + self._opened * self._windows.stride) < until:
            self._open.append(_Open(start, [start + (i + 0.5) * step for i in range(self._count)]))
            self._opened += 1

    def _closed(self, length: float) -> Window:
        self._complete += 1
        return _window(self._preparation, self._open.popleft(), length)


def _window(preparation: Preparation, window: _Open, length: float) -> Window:
    lengths = tuple(part.frames for part in preparation.card.inputs)
    (ids,) = frame_sampling.stream_clip_ids(
        max(lengths), lengths, "random_interval", 1, mode="center", segments=1
    )
    clip = preparation.clip(
        {
            stream: [getattr(window.moments[int(i)], stream) for i in own]
            for stream, own in zip(preparation.card.streams, ids, strict=True)
        }
    )
    return Window(window.start, window.start + length, clip)


def smoothed(
    spans: Sequence[tuple[float, float]], scores: np.ndarray, stride: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the starts of cells of `stride` seconds and their scores, (cells, classes).

    A cell's score is the mean over the windows that it lies in. A window whose middle is nearer
    counts more, in a straight line down to nothing at its ends.
    """
    starts, ends = np.array(spans).T
    first, last = starts.min(), ends.max()
    # Cells half a stride apart: a border between segments is found to a quarter of a stride.
    size = stride / 2
    cells = first + size * np.arange(max(1, math.ceil((last - first) / size - 1e-9)))
    middles = (starts + ends) / 2
    result = np.empty((len(cells), scores.shape[1]))
    for index, cell in enumerate(cells):
        centre = min(cell + size / 2, last)
        distance = np.abs(middles - centre) / ((ends - starts) / 2)
        weights = np.maximum(1 - distance, 0)
        if not weights.sum():
            weights = (distance == distance.min()).astype(float)
        result[index] = weights @ scores / weights.sum()
    return cells, result


def segments(
    cells: np.ndarray, scores: np.ndarray, end: float, labels: Sequence[str], threshold: float
) -> list[Segment]:
    """Return the segments of a video: the most probable sequence of labels, neighbours merged.

    Where the label's score speaks against it, by the odds of the threshold, it is `unknown`.
    """
    path = most_probable(np.log(np.maximum(scores, 1e-9)), SWITCH)
    own = scores[np.arange(len(path)), path]
    names = [labels[state] for state in path]
    if threshold > 0:
        sides = np.column_stack([_log_odds(own), np.full(len(own), _log_odds(threshold))])
        doubted = most_probable(sides, SWITCH)
        names = [UNKNOWN if doubt else name for doubt, name in zip(doubted, names, strict=True)]
    ends = [*cells[1:], end]
    found = []
    for name, group in groupby(range(len(cells)), key=names.__getitem__):
        members = list(group)
        start, stop = float(cells[members[0]]), float(ends[members[-1]])
        found.append(Segment(start, stop, name, float(own[members].mean())))
    return found


def _log_odds(share: Any) -> Any:
    bounded = np.clip(share, 1e-6, 1 - 1e-6)
    return np.log(bounded / (1 - bounded))


def most_probable(evidence: np.ndarray, switch: float) -> list[int]:
    """Return the sequence of states with the most evidence, (steps, states), less its switches.

    Viterbi, 1967, with one cost for each change of state.
    """
    total, came_from = evidence[0], []
    for row in evidence[1:]:
        best = int(total.argmax())
        stays = total >= total[best] - switch
        came_from.append(np.where(stays, np.arange(len(total)), best))
        total = np.where(stays, total, total[best] - switch) + row
    path = [int(total.argmax())]
    for origins in reversed(came_from):
        path.append(int(origins[path[-1]]))
    return path[::-1]
