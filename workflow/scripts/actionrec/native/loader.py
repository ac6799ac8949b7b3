"""Batches of clips, assembled in threads ahead of the network that takes them.

Decoding, resizing and copying of frames release Python's lock, so threads share the cores and one
memory: no processes to start, nothing to pickle. Copying alone is so quick that many threads
would spend their time on handing the lock on: few do it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

AHEAD = 4  # batches that are being made while one is in use
COPIERS = 4  # threads for clips at hand; with eight an H100 waits for them, at 3 frames a clip

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
        return Batch(streams, function(self.labels), function(self.flips), self.videos)


@dataclass(frozen=True)
class Facts:
    """What is known of a clip beside its pixels."""

    label: int
    flip: bool
    video: int


class Clips(Protocol):
    """What a loader takes clips from; a key names one clip."""

    def shapes(self, key: Any) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of each stream of a clip."""

    def at_hand(self, key: Any) -> bool:
        """Tell whether writing a clip is no more than copying pixels."""

    def write(self, key: Any, streams: Mapping[str, np.ndarray]) -> Facts:
        """Write the pixels of a clip into arrays of these shapes."""


class Loader:
    """The batches of `clips` that `batches` names by lists of keys, in that order.

    Without threads a batch is made when it is asked for. What goes wrong with a clip is raised
    when its batch is due.
    """

    def __init__(self, clips: Clips, batches: Iterable[Sequence[Any]], threads: int) -> None:
        self.clips, self.batches = clips, batches
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "clips") if threads else None
        self._copiers = ThreadPoolExecutor(COPIERS, "copies") if threads else None

    def __iter__(self) -> Iterator[Batch]:
        begun: deque[tuple[Batch, list[Future]]] = deque()
        try:
            for keys in self.batches:
                begun.append(self._begin(keys))
                if self._pool is None or len(begun) > AHEAD:
                    yield _finish(*begun.popleft())
            while begun:
                yield _finish(*begun.popleft())
        finally:
            for _, writing in begun:
                for future in writing:
                    future.cancel()

    def _begin(self, keys: Sequence[Any]) -> tuple[Batch, list[Future]]:
        batch = _empty(len(keys), self.clips.shapes(keys[0]))
        if self._pool is None:
            self._write(batch, list(enumerate(keys)))
            return batch, []
        there: list[tuple[int, Any]] = []
        wanted: list[tuple[int, Any]] = []
        for place, key in enumerate(keys):
            (there if self.clips.at_hand(key) else wanted).append((place, key))
        return batch, [
            *self._share(self._pool, self._threads, batch, wanted),
            *self._share(self._copiers, COPIERS, batch, there),
        ]

    def _share(
        self, pool: ThreadPoolExecutor, threads: int, batch: Batch, places: Places
    ) -> list[Future]:
        """Have so many threads of a pool write the clips of a batch."""
        parts = (places[start::threads] for start in range(threads))
        return [pool.submit(self._write, batch, part) for part in parts if part]

    def _write(self, batch: Batch, places: Places) -> None:
        streams = {name: stream.numpy() for name, stream in batch.streams.items()}
        labels, flips, videos = batch.labels.numpy(), batch.flips.numpy(), batch.videos.numpy()
        for place, key in places:
            facts = self.clips.write(key, {name: s[place] for name, s in streams.items()})
            labels[place], flips[place], videos[place] = facts.label, facts.flip, facts.video


def _empty(size: int, shapes: Mapping[str, tuple[int, ...]]) -> Batch:
    pinned = torch.cuda.is_available()
    return Batch(
        {
            name: torch.empty((size, *shape), dtype=torch.uint8, pin_memory=pinned)
            for name, shape in shapes.items()
        },
        torch.empty(size, dtype=torch.int64, pin_memory=pinned),
        torch.empty(size, dtype=torch.bool, pin_memory=pinned),
        torch.empty(size, dtype=torch.int64),
    )


def _finish(batch: Batch, writing: Sequence[Future]) -> Batch:
    for future in writing:
        future.result()
    return batch


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield batches on `device`; a GPU fetches the next one while it works on the present one."""
    if device.type != "cuda":
        yield from batches
        return
    fetching = torch.cuda.Stream(device)
    coming: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        present, coming = coming, _fetch(batch, device, fetching)
        if present is not None:
            yield _fetched(*present)
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
