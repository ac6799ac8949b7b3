"""Worker processes that write clips into the buffers of batches."""

import logging
import multiprocessing
import signal
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn, Protocol

import numpy as np

from actionrec.errors import InputError
from actionrec.native.data import reading
from actionrec.native.data.batch import BatchBuffer, ClipInfo, Shapes
from actionrec.native.data.reading import ReadingSlot

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_WARNING = 30.0  # without a new file

log = logging.getLogger(__name__)

Places = Sequence[tuple[int, Any]]  # positions in a batch, with the keys of the clips for them


class ClipDataset(Protocol):
    """A map-style dataset: a key names a clip.

    Unlike PyTorch's, it writes a clip into memory that is given, so that no clip is copied or
    pickled on its way from a worker.
    """

    def shapes(self, key: Any) -> Shapes:
        """Return the shape of each stream of a clip, (T, H, W, channels)."""

    def video_of(self, key: Any) -> int:
        """Return the index of the video that a clip is cut from."""

    def write_clip(self, key: Any, streams: Mapping[str, np.ndarray]) -> ClipInfo:
        """Write the pixels of a clip into arrays of its `shapes`."""

    def read_ahead(self) -> bool:
        """Read a little of what later clips need; tell if there was anything."""


class Worker:
    """A process that writes clips into buffers; it ends when this one does, however that ends."""

    def __init__(
        self, dataset: ClipDataset, buffers: Sequence[BatchBuffer], timeout: float
    ) -> None:
        self._timeout = timeout
        self._slot = ReadingSlot()
        self._hung: InputError | None = None
        # A forked process has dataset and buffers without pickling, and starts in milliseconds.
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_worker_loop,
            args=(theirs, self._pipe, self._slot, dataset, buffers),
            daemon=True,
        )
        with warnings.catch_warnings():
            # Python warns that other threads may hold locks. The worker takes none of them: it
            # uses neither PyTorch nor a progress bar.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded")
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self._process.pid

    def request(self, buffer: int, count: int, places: Places) -> None:
        """Have clips written into a buffer, by its index, for a batch of `count` clips."""
        try:
            self._pipe.send((buffer, count, places))
        except OSError:
            self._raise_ended()

    def wait(self) -> Exception | None:
        """Wait for the oldest open request; return the error that it ended with, if any.

        Raises `InputError` if the worker has ended, or read nothing new for the timeout.
        """
        try:
            self._wait_for_answer()
            return self._pipe.recv()
        except (EOFError, OSError):
            self._raise_ended()

    def _wait_for_answer(self) -> None:
        """Return when there is an answer; warn, and in the end give up, if nothing moves."""
        waited, count = 0.0, self._slot.count
        # Counted in steps, not by the clock: a process that was stopped has waited for nothing.
        warned = False
        while self._hung is None and not self._pipe.poll(SECONDS_BETWEEN_LOOKS):
            if self._slot.count != count:
                waited, count = 0.0, self._slot.count
                continue
            waited += SECONDS_BETWEEN_LOOKS
            if waited >= SECONDS_TO_WARNING and not warned:
                log.warning("%s The task waits for it.", self._hang_message(waited))
                warned = True
            if 0 < self._timeout <= waited:
                self._hung = self._give_up(waited)
        if warned and self._hung is None:
            log.warning("The process that read nothing new reads again.")
        if self._hung is not None:  # also for the requests behind this one
            raise self._hung

    def _hang_message(self, seconds: float) -> str:
        return (
            f"A process that reads frames has read nothing new for {seconds:.0f} s. It is "
            f"{'on ' + self._slot.path if self._slot.path else 'before its first file'}."
        )

    def _give_up(self, seconds: float) -> InputError:
        self._process.kill()  # a stopped process heeds no other signal, and exit waits for it
        return InputError(
            self._hang_message(seconds),
            where="spec: native.loader_timeout",
            found=self._timeout,
            fix="look whether the disk or network drive still answers, and run the same again; "
            "for a slow one raise native.loader_timeout",
        )

    def _raise_ended(self) -> NoReturn:
        self._process.join(1)
        code = self._process.exitcode or 0
        raise InputError(
            "A process that reads frames has ended.",
            where="spec: dataset.workers",
            found=f"exit code {code}" if code >= 0 else signal.Signals(-code).name,
            fix="run the same again, with fewer workers if memory was short",
        )


def _worker_loop(
    pipe: Connection,
    other_end: Connection,
    slot: ReadingSlot,
    dataset: ClipDataset,
    buffers: Sequence[BatchBuffer],
) -> None:
    """Serve requests until the loader's end of the pipe is closed."""
    reading.note_in(slot)
    other_end.close()  # an inherited copy would keep the pipe open when the loader has gone
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the loader, and that the worker
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(EOFError, OSError):
        while True:
            failed = _error_of(_read_ahead, dataset, pipe)
            buffer, count, places = pipe.recv()
            pipe.send(failed or _error_of(collate, dataset, buffers[buffer], count, places))


def _read_ahead(dataset: ClipDataset, requests: Connection) -> None:
    """Read for later clips until there is a request, or nothing more to read."""
    while not requests.poll() and dataset.read_ahead():
        pass


def _error_of(function: Callable[..., None], *arguments: Any) -> Exception | None:
    """Call a function; return its error, with its traceback as a note, instead of raising it."""
    try:
        function(*arguments)
    except Exception as error:
        error.add_note(traceback.format_exc())
        return error
    return None


def collate(dataset: ClipDataset, buffer: BatchBuffer, count: int, places: Places) -> None:
    """Write clips to their positions in a batch of `count` clips, all of one shape."""
    streams = buffer.streams(count, dataset.shapes(places[0][1]))
    for position, key in places:
        clip = {name: pixels[position] for name, pixels in streams.items()}
        buffer.set_info(position, dataset.write_clip(key, clip))
