"""Batches of clips, written by processes ahead of the network that takes them.

Each process has the frames of its own videos, every n-th, so that nothing is shared but the
memory in which batches are passed on, and Python's lock is no one's but the network's.
"""

import math
import mmap
import multiprocessing
import signal
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NoReturn, Protocol

import numpy as np
import torch
from torch import Tensor

from actionrec.errors import InputError

AHEAD = 4  # batches that are being made while one is in use
KEPT = 2  # batches, the one in use and the one that a GPU fetches meanwhile
SLOTS = AHEAD + KEPT + 1

Shapes = Mapping[str, tuple[int, ...]]  # of a clip's streams
Places = Sequence[tuple[int, Any]]  # of clips in a batch, with their keys


@dataclass(frozen=True)
class Batch:
    """Clips of equal shape: `streams` holds rgb (N, T, H, W, 3) or of (N, T, H, W, 2), uint8.

    `labels` are class ids, `flips` tells which clips to mirror, `videos` of which video each is.
    """

    streams: dict[str, Tensor]
    labels: Tensor
    flips: Tensor
    videos: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def on_device(self) -> tuple[Tensor, ...]:
        """What the network's device has of the batch; `videos` stay with the host."""
        return *self.streams.values(), self.labels, self.flips

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """Return a batch in which `function` has been applied to what the device has."""
        streams = {name: function(stream) for name, stream in self.streams.items()}
        return Batch(streams, function(self.labels), function(self.flips), self.videos.clone())


@dataclass(frozen=True)
class Facts:
    """What is known of a clip beside its pixels."""

    label: int
    flip: bool
    video: int


class Clips(Protocol):
    """What a loader takes clips from; a key names one clip."""

    def shapes(self, key: Any) -> Shapes:
        """Return the shape of each stream of a clip."""

    def video(self, key: Any) -> int:
        """Return the number of the video that a clip is cut out of."""

    def write(self, key: Any, streams: Mapping[str, np.ndarray]) -> Facts:
        """Write the pixels of a clip into arrays of these shapes."""


class Slot:
    """Memory for one batch after another, shared with the processes that are started later."""

    def __init__(self, clips: int, size: int) -> None:
        self._bytes = np.frombuffer(mmap.mmap(-1, size + 17 * clips), np.uint8)
        labels, videos, flips, self._pixels = np.split(self._bytes, np.cumsum([8, 8, 1]) * clips)
        self._labels, self._videos = labels.view(np.int64), videos.view(np.int64)
        self._flips = flips.view(np.bool_)

    def streams(self, count: int, shapes: Shapes) -> dict[str, np.ndarray]:
        """Return the pixels of `count` clips, (count, *shape) for each of the shapes."""
        arrays, start = {}, 0
        for name, shape in shapes.items():
            end = start + count * math.prod(shape)
            arrays[name] = self._pixels[start:end].reshape(count, *shape)
            start = end
        return arrays

    def put(self, place: int, facts: Facts) -> None:
        """Note what is known of the clip at a place in the batch."""
        self._labels[place], self._flips[place] = facts.label, facts.flip
        self._videos[place] = facts.video

    def batch(self, count: int, shapes: Shapes) -> Batch:
        """Return what has been written as a batch, without copying it."""
        return Batch(
            {
                name: torch.from_numpy(pixels)
                for name, pixels in self.streams(count, shapes).items()
            },
            *(
                torch.from_numpy(facts[:count])
                for facts in (self._labels, self._flips, self._videos)
            ),
        )

    def pin(self) -> None:
        """Keep the memory in its place as long as it is used, so that a GPU can fetch from it."""
        cuda, address = torch.cuda.cudart(), self._bytes.ctypes.data
        torch.cuda.check_error(cuda.cudaHostRegister(address, self._bytes.nbytes, 0))
        weakref.finalize(self, cuda.cudaHostUnregister, address)


class Worker:
    """A process that writes clips into slots; it ends when this one does, however that ends."""

    def __init__(self, clips: Clips, slots: Sequence[Slot]) -> None:
        # It inherits clips and slots, and starts in milliseconds.
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        ends = (theirs, self._pipe)
        self._process = context.Process(target=_serve, args=(*ends, clips, slots), daemon=True)
        with warnings.catch_warnings():
            # It goes near nothing that other threads may hold: no PyTorch, no progress bar.
            warnings.filterwarnings("ignore", "This process .* is multi-threaded")
            self._process.start()
        theirs.close()

    def ask(self, slot: int, count: int, places: Places) -> None:
        """Have the clips with these keys written to their places in a batch of `count`."""
        try:
            self._pipe.send((slot, count, places))
        except OSError:
            self._raise_ended()

    def wait(self) -> Exception | None:
        """Wait until the first unanswered request is done; return what went wrong."""
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            self._raise_ended()

    def _raise_ended(self) -> NoReturn:
        self._process.join(1)
        code = self._process.exitcode
        raise InputError(
            "A process that reads frames has ended.",
            where="spec: dataset.workers",
            found=f"exit code {code}" if (code or 0) >= 0 else signal.Signals(-code).name,
            fix="run the same again, with fewer workers if memory was short",
        )


def _serve(pipe: Connection, other: Connection, clips: Clips, slots: Sequence[Slot]) -> None:
    """Do what is asked for until the other side has gone."""
    other.close()  # or it would never seem to have gone
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is for the other side, which ends
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(EOFError, OSError):
        while True:
            slot, count, places = pipe.recv()
            pipe.send(_fault(clips, slots[slot], count, places))


def _fault(clips: Clips, slot: Slot, count: int, places: Places) -> Exception | None:
    """Write clips; return what went wrong."""
    try:
        _write(clips, slot, count, places)
    except Exception as error:
        error.add_note(traceback.format_exc())
        return error
    return None


def _write(clips: Clips, slot: Slot, count: int, places: Places) -> None:
    streams = slot.streams(count, clips.shapes(places[0][1]))
    for place, key in places:
        slot.put(place, clips.write(key, {name: s[place] for name, s in streams.items()}))


@dataclass(frozen=True)
class Job:
    """A batch that is being made, and who is at it."""

    batch: Batch
    workers: Sequence[Worker]

    def wait(self) -> list[Exception]:
        """Wait until all are done; return what went wrong."""
        return [error for worker in self.workers if (error := worker.wait()) is not None]


class Loader:
    """The batches of `clips` that `batches` names by lists of keys, in that order.

    A batch stays as it is until `KEPT` others have been asked for. `largest` names a batch than
    which none takes up more memory. Without workers a batch is made when it is asked for. What
    goes wrong with a clip is raised when its batch is due.
    """

    def __init__(
        self,
        clips: Clips,
        batches: Iterable[Sequence[Any]],
        largest: Sequence[Any],
        workers: int,
    ) -> None:
        self.clips, self.batches = clips, batches
        self._largest, self._count = largest, workers
        self._slots: list[Slot] = []
        self._workers: list[Worker] = []

    def __iter__(self) -> Iterator[Batch]:
        coming: deque[Job] = deque()
        try:
            for number, keys in enumerate(self.batches):
                if not self._slots:
                    self._begin()
                coming.append(self._start(number % SLOTS, keys))
                if not self._workers or len(coming) > AHEAD:
                    yield _finished(coming)
            while coming:
                yield _finished(coming)
        finally:
            for job in coming:
                job.wait()

    def _begin(self) -> None:
        """Start the processes, with all that they share."""
        shapes = self.clips.shapes(self._largest[0])
        size = len(self._largest) * sum(map(math.prod, shapes.values()))
        self._slots = [Slot(len(self._largest), size) for _ in range(SLOTS)]
        self._workers = [Worker(self.clips, self._slots) for _ in range(self._count)]
        if torch.cuda.is_available():
            for slot in self._slots:
                slot.pin()

    def _start(self, number: int, keys: Sequence[Any]) -> Job:
        """Have a batch written to a slot."""
        slot, count = self._slots[number], len(keys)
        batch = slot.batch(count, self.clips.shapes(keys[0]))
        places = list(enumerate(keys))
        if not self._workers:
            _write(self.clips, slot, count, places)
            return Job(batch, [])
        shares: dict[Worker, list[tuple[int, Any]]] = {}
        for place, key in places:
            owner = self._workers[self.clips.video(key) % len(self._workers)]
            shares.setdefault(owner, []).append((place, key))
        for worker, share in shares.items():
            worker.ask(number, count, share)
        return Job(batch, list(shares))


def _finished(coming: deque[Job]) -> Batch:
    """Take the first batch, once it is made."""
    job = coming.popleft()
    for error in job.wait():
        raise error
    return job.batch


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield batches on `device`; a GPU fetches the next one while it works on the present one."""
    if device.type != "cuda":
        yield from (batch.mapped(torch.clone) for batch in batches)
        return
    fetching = torch.cuda.Stream(device)
    coming: tuple[Batch, torch.cuda.Event] | None = None
    fetched: deque[torch.cuda.Event] = deque()
    for batch in batches:
        present, coming = coming, _fetch(batch, device, fetching)
        if present is not None:
            yield _fetched(*present)
        fetched.append(coming[1])
        if len(fetched) > KEPT:  # whose memory is written to when the next batch is asked for
            fetched.popleft().synchronize()
    if coming is not None:
        yield _fetched(*coming)


def _fetch(
    batch: Batch, device: torch.device, stream: torch.cuda.Stream
) -> tuple[Batch, torch.cuda.Event]:
    with torch.cuda.stream(stream):
        there = batch.mapped(lambda tensor: tensor.to(device, non_blocking=True))
        return there, stream.record_event()


def _fetched(batch: Batch, event: torch.cuda.Event) -> Batch:
    """Let the present stream wait for a batch, whose memory is not reused before it is done."""
    present = torch.cuda.current_stream()
    present.wait_event(event)
    for tensor in batch.on_device:
        tensor.record_stream(present)
    return batch
