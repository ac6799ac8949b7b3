"""Cameras and streams: the newest frames, without a queue, and again after an interruption."""

import logging
import threading
import time
from collections.abc import Callable, Iterator

import av
import numpy as np

from actionrec.deploy import timeline
from actionrec.deploy.preparation import Preparation, moments
from actionrec.deploy.session import Model
from actionrec.deploy.timeline import Segment, Windows
from actionrec.errors import InputError
from actionrec.frames.decoder.pixels import Pixels

STALL = 10.0  # seconds without a frame after which a source counts as interrupted
_PAUSES = (0.5, 1.0, 2.0, 5.0)  # seconds before another try

log = logging.getLogger(__name__)


class _Slot:
    """The newest frame; one that nobody has taken is dropped when another comes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: tuple[float, np.ndarray] | None = None
        self._error: Exception | None = None
        self._ended = False
        self.dropped = 0

    def put(self, item: tuple[float, np.ndarray]) -> None:
        with self._changed:
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def end(self, error: Exception | None = None) -> None:
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify()

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yield what is newest, until the source ends; raise its error."""
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
            allowed=["the index of a camera (/dev/video<index>)", "rtsp://...", "http://..."],
            fix="check that it runs, and that this machine reaches it: ffprobe " + name,
        ) from error


def _decode(source: str, container: av.container.InputContainer, slot: _Slot, clock: float) -> None:
    """Put the frames of an opened source into the slot, timed by when they arrive."""
    pixels = Pixels("bgr24")
    stream = next(iter(container.streams.video), None)
    if stream is None:
        raise InputError("The source holds no video.", where=source)
    stream.thread_type = "SLICE"  # frame threads hold frames back
    for frame in container.decode(stream):
        slot.put((time.monotonic() - clock, pixels.of(frame)))


def _read(source: str, slot: _Slot, stop: threading.Event, stall: float, retries: int) -> None:
    clock, failures = time.monotonic(), 0
    while not stop.is_set():
        try:
            with open_source(source, stall) as container:
                before = time.monotonic()
                _decode(source, container, slot, clock)
            if time.monotonic() - before > stall:
                failures = 0
            reason = "it ended"
        except (InputError, av.FFmpegError) as error:
            reason = str(error).splitlines()[0]
            if failures >= retries:
                slot.end(error if isinstance(error, InputError) else _stalled(source, error))
                return
        if failures >= retries:
            slot.end()
            return
        pause = _PAUSES[min(failures, len(_PAUSES) - 1)]
        failures += 1
        log.warning("%s: %s; opening it again in %.1f s", source, reason, pause)
        stop.wait(pause)


def _stalled(source: str, error: Exception) -> InputError:
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
) -> int:
    """Predict a live source until it ends; call `tell` with each window; return frames dropped.

    Frames are timed by when they come. While the model computes, newer ones take the place of those
    that wait. An interrupted source is opened again `retries` times in a row. Raises `InputError`
    when that fails, or the source cannot be opened at first.
    """
    open_source(source, stall).close()  # a wrong address is an error, not an interruption
    slot, stop = _Slot(), threading.Event()
    reader = threading.Thread(target=_read, args=(source, slot, stop, stall, retries), daemon=True)
    reader.start()
    preparation = Preparation(model.card)
    try:
        for window in timeline.slide(preparation, moments(preparation, slot.frames()), windows):
            scores = model.scores([window.clip])[0]
            tell(Segment(window.start, window.end, model.label(scores), float(scores.max())))
    finally:
        stop.set()
    return slot.dropped
