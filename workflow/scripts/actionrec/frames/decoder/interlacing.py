"""Interlaced video: frames that hold two moments, one in the even and one in the odd lines."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import cast

import av.filter
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

Shown = tuple[float, VideoFrame]


def deinterlaced(shown: Iterable[Shown]) -> Iterator[Shown]:
    """Yield as many (time, frame) as come, those marked as interlaced made of one moment.

    Every other line is made from its neighbours in the frame and in the one before and after it
    (bwdif), so a frame goes out when the next has come. Frames that are not marked go through
    untouched: a film in a container for interlaced video stays as it is.
    """
    graph: _Graph | None = None
    for time, frame in shown:
        if graph and graph.form != _form(frame):
            yield from graph.drain()
            graph = None
        if graph is None and not frame.interlaced_frame:
            yield time, frame
            continue
        graph = graph or _Graph(frame)
        yield from graph.put(time, frame)
    if graph:
        yield from graph.drain()


def _form(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


class _Graph:
    """FFmpeg's filter for frames of one size and pixel format."""

    def __init__(self, frame: VideoFrame) -> None:
        self.form = _form(frame)
        self._times: deque[float] = deque()
        self._graph = av.filter.Graph()
        self._graph.threads = 1  # the processes are the parallelism
        self._source = self._graph.add(
            "buffer",
            width=str(frame.width),
            height=str(frame.height),
            pix_fmt=frame.format.name,
            time_base="1/1000",
            colorspace=str(frame.colorspace),
            range=str(frame.color_range),
        )
        # send_frame: a frame for each frame, not for each field, so that their number and times
        # stay; parity and marks are each frame's own.
        bwdif = self._graph.add("bwdif", mode="send_frame", parity="auto", deint="interlaced")
        self._sink: FilterContext = self._graph.add("buffersink")
        self._graph.link_nodes(self._source, bwdif, self._sink).configure()

    def put(self, time: float, frame: VideoFrame) -> Iterator[Shown]:
        self._times.append(time)
        self._source.push(frame)
        return self._pull()

    def drain(self) -> Iterator[Shown]:
        self._source.push(None)
        return self._pull()

    def _pull(self) -> Iterator[Shown]:
        while self._times:
            try:
                frame = cast(VideoFrame, self._sink.pull())
            except (BlockingIOError, EOFError):
                return
            yield self._times.popleft(), frame
