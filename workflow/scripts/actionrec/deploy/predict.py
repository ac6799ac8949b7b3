"""Predict videos: short ones by the clips that the workflow scores, long ones by windows."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from actionrec.deploy import timeline
from actionrec.deploy.preparation import Preparation, moments
from actionrec.deploy.reading import read_clips
from actionrec.deploy.session import Model
from actionrec.deploy.timeline import Segment, Windows
from actionrec.frames.decoder.faults import BadVideo
from actionrec.frames.decoder.video import open_video
from actionrec.frames.segments import FrameSource
from actionrec.utils.processes import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")
Report = Callable[[float, float], None]  # seconds of the video that are done, and all of them


@dataclass(frozen=True)
class Prediction:
    """What the model says of one video.

    `label` and `scores` are of the whole video, `segments` of its parts where it was read in
    windows. A video that cannot be used has a `problem` and nothing else.
    """

    video: str
    label: str = ""
    score: float = 0.0
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))
    segments: tuple[Segment, ...] = ()
    remarks: tuple[str, ...] = ()
    problem: str = ""

    @property
    def parts(self) -> tuple[Segment, ...]:
        """Return the segments; without windows the whole video is one."""
        return self.segments or (Segment(0.0, float("inf"), self.label, self.score),)


def predict_videos(
    model: Model,
    paths: Iterable[Path],
    *,
    windows: Windows | None = None,
    whole: bool = False,
    workers: int = 0,
    report: Report | None = None,
) -> Iterator[Prediction]:
    """Yield the prediction of each video, in their order.

    A video is predicted as the workflow does it, unless it is far longer than any that the model
    was trained on and not to be taken `whole`, or `windows` are asked for. Short videos share the
    cores; `report` hears of the progress in a long one.
    """
    workers = workers or usable_cores()
    chosen = windows or Windows.of_card(model.card)
    preparation = Preparation(model.card)

    def one(path: Path) -> Prediction | Path:
        """Return a short video's prediction, and a long one's path: that has all cores."""
        try:
            if windows or (not whole and _is_long(model, path)):
                return path
            return predict_whole(model, FrameSource(path, path.name), preparation)
        except (BadVideo, OSError) as error:
            return Prediction(str(path), problem=str(error))

    for done in in_order(one, paths, workers):
        if isinstance(done, Path):
            try:
                yield predict_long(model, done, chosen, workers=workers, report=report)
            except (BadVideo, OSError) as error:
                yield Prediction(str(done), problem=str(error))
        else:
            yield done


def _is_long(model: Model, path: Path) -> bool:
    with open_video(path) as video:
        return timeline.is_long(model.card, video.duration)


def predict_whole(
    model: Model, source: FrameSource, preparation: Preparation, *, calibrated: bool = True
) -> Prediction:
    """Return the prediction of a video as the workflow's inference makes it."""
    read = read_clips(source, preparation)
    scores = model.scores(read.clips, calibrated=calibrated).mean(axis=0)
    return Prediction(
        str(source.path),
        model.label(scores) if calibrated else model.card.labels[int(scores.argmax())],
        float(scores.max()),
        scores,
        remarks=tuple(read.remarks),
    )


def predict_long(
    model: Model,
    path: Path,
    windows: Windows,
    *,
    workers: int = 0,
    report: Report | None = None,
) -> Prediction:
    """Return the segments of a video, read once from its start to its end."""
    preparation = Preparation(model.card)
    with open_video(path, interlaced=model.card.interlaced) as video:
        last_shown = 1 / video.rate if video.rate else 0.0
        found = timeline.slide(
            preparation, moments(preparation, video.frames()), windows, last_shown
        )

        def score(window: timeline.Window) -> tuple[tuple[float, float], np.ndarray]:
            return (window.start, window.end), model.scores([window.clip])[0]

        spans, rows = [], []
        for span, row in in_order(score, found, workers or usable_cores()):
            spans.append(span)
            rows.append(row)
            if report:
                report(span[1], video.duration)
        remarks = tuple(video.remarks())
    if not spans:
        raise BadVideo("has one frame: there is no motion to see")
    cells, scores = timeline.smoothed(spans, np.array(rows), windows.stride)
    end = max(end for _, end in spans)
    parts = timeline.segments(cells, scores, end, model.card.labels, model.threshold)
    mean = scores.mean(axis=0)
    longest = max(parts, key=lambda part: part.end - part.start)
    return Prediction(str(path), longest.label, longest.score, mean, tuple(parts), remarks)


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yield the results of a function in the order of the items, from as many threads as workers.

    Unlike an executor's map it takes items as they are needed: there may be hours of video.
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
