"""Cameras and streams: the newest frames, without a queue, and again after an interruption."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

import av
import numpy as np

from actionrec.deploy import timeline
from actionrec.deploy.preparation import Preparation, moments
from actionrec.deploy.session import Model
from actionrec.deploy.timeline import Segment, Window, Windows
from actionrec.errors import InputError
from actionrec.frames.decoder.pixels import Pixels
from actionrec.redaction import shown

STALL = 10.0  # seconds without a frame after which a source counts as interrupted
_PAUSES = (0.5, 1.0, 2.0, 5.0)  # seconds before another try

Item = TypeVar("Item")

log = logging.getLogger(__name__)


class _Frame(NamedTuple):
    connection: int  # how many times the source was opened before
    time: float  # seconds since the first time
    image: np.ndarray


class Dropped(NamedTuple):
    """What was left out because something newer was there."""

    frames: int
    windows: int


class _Newest(Generic[Item]):
    """Hands the newest item to another thread; one that waits is dropped when another comes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._error: Exception | None = None
        self._ended = False
        self.received = self.dropped = 0

    def fill(self, items: Iterator[Item]) -> None:
        """Put items as they come; then end, with the error if there was one."""
        error: Exception | None = None
        try:
            for item in items:
                self._put(item)
        except Exception as caught:  # whoever waits must hear of it, whatever it is
            error = caught
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify()

    def _put(self, item: Item) -> None:
        with self._changed:
            self.received += 1
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def items(self) -> Iterator[Item]:
        """Yield what is newest until there is no more; raise the error of what made it."""
        while True:
            with self._changed:
                # With a limit, so that Ctrl-C is heard.
                while self._item is None and not self._ended:
                    self._changed.wait(0.2)
                item, self._item = self._item, None
            if item is None:
                if self._error:
                    raise self._error
                return
            yield item


def open_source(source: str, stall: float = STALL) -> av.container.InputContainer:
    """Open a camera by its index, or an address; raise `InputError` when that cannot be done."""
    form = "v4l2" if source.isdecimal() else None
    name = f"/dev/video{source}" if source.isdecimal() else source
    options = {"rtsp_transport": "tcp"} if source.lower().startswith("rtsp") else {}
    try:
        return av.open(name, format=form, options=options, timeout=(stall, stall))
    except (av.FFmpegError, ValueError, OSError) as error:
        raise InputError(
            "The source cannot be opened.",
            where=source,
            found=getattr(error, "strerror", None) or error,
            allowed="the index of a camera (/dev/video<index>), rtsp://..., http://...",
            fix="check that it runs, and that this machine reaches it: ffprobe " + name,
        ) from error


class _Source:
    """A source that is opened again after an interruption."""

    def __init__(self, source: str, stall: float, retries: int) -> None:
        # A wrong address is an error, not an interruption. What is opened here is kept: some
        # cameras serve one connection only.
        self._opened: av.container.InputContainer | None = open_source(source, stall)
        self._source, self._stall, self._retries = source, stall, retries
        self._connection, self._clock = 0, time.monotonic()
        self._over = False
        self.stop = threading.Event()

    def frames(self) -> Iterator[_Frame]:
        """Yield frames until the source ends for good; raise what the last try failed with."""
        failures = 0
        error: Exception | None = None
        while not self.stop.is_set():
            came, error = False, None
            try:
                for frame in self._connected():
                    came = True
                    yield frame
                if self._over or self.stop.is_set():
                    return
            except (InputError, av.FFmpegError) as caught:
                error = caught
            failures = 0 if came else failures
            if failures >= self._retries:
                break
            self._pause(failures, error)
            failures += 1
            self._connection += 1
        if isinstance(error, av.FFmpegError):
            error = _stopped(self._source, error)
        if error:
            raise error

    def _pause(self, failures: int, error: Exception | None) -> None:
        reason = str(error).splitlines()[0] if error else "it ended"
        pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
        log.warning("%s: %s; opening it again in %.1f s", shown(self._source), reason, pause)
        self.stop.wait(pause)

    def _connected(self) -> Iterator[_Frame]:
        """Yield the frames of one connection, timed by when they arrive."""
        pixels = Pixels("bgr24")
        opened, self._opened = self._opened, None
        with opened or open_source(self._source, self._stall) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise InputError(
                    "The source holds no video.",
                    where=self._source,
                    fix="name the address of a video stream, or a camera by its index",
                )
            stream.thread_type = "SLICE"  # frame threads hold frames back
            # Something with a length is a recording at an address: it has its own pace, and an end.
            self._over = container.duration is not None
            started = time.monotonic()
            for frame in container.decode(stream):
                if self._over and frame.time:
                    self.stop.wait(started + frame.time - time.monotonic())
                if self.stop.is_set():
                    return
                now = time.monotonic() - self._clock
                yield _Frame(self._connection, now, pixels.of(frame))


def _stopped(source: str, error: Exception) -> InputError:
    return InputError(
        "The source stopped sending.", where=source, found=error, fix="check it, and start again"
    )


def follow(
    model: Model,
    source: str,
    windows: Windows,
    tell: Callable[[Segment], None],
    *,
    stall: float = STALL,
    retries: int = 10,
) -> Dropped:
    """Predict a live source until it ends; call `tell` with each window.

    Frames are timed by when they come. Three things go on at a time: reading, the preparation of
    windows, and the network; each takes the newest that the one before has, so that nothing is ever
    late. An interrupted source is opened again until `retries` times in a row brought no frame; no
    window reaches over the time without frames. Raises `InputError` when that fails, or the source
    cannot be opened at first.
    """
    opened = _Source(source, stall, retries)
    frames, found = _Newest[_Frame](), _Newest[Window]()
    threads = [
        threading.Thread(target=frames.fill, args=(opened.frames(),), daemon=True),
        threading.Thread(
            target=found.fill, args=(_windows(model, frames.items(), windows),), daemon=True
        ),
    ]
    for thread in threads:
        thread.start()
    try:
        for window in found.items():
            scores = model.scores([window.clip])[0]
            tell(Segment(window.start, window.end, model.label(scores), float(scores.max())))
    finally:
        opened.stop.set()
        for thread in threads:
            thread.join(1.0)  # one that still waits for a frame ends with the process
    return Dropped(frames.dropped, found.dropped)


def _windows(model: Model, frames: Iterator[_Frame], windows: Windows) -> Iterator[Window]:
    """Yield the windows of each connection: one that reached over a gap would show none of it."""
    preparation = Preparation(model.card)
    for _, connected in groupby(frames, attrgetter("connection")):
        timed = ((frame.time, frame.image) for frame in connected)
        yield from timeline.slide(preparation, moments(preparation, timed), windows)
