"""The data loader: worker processes write batches ahead of the network that takes them.

It does what `torch.utils.data.DataLoader` does, with two differences. Each worker has its own
videos, every n-th, and keeps their frames, so that no frame is decoded or stored twice. And all
workers write into one batch in shared memory, from which a GPU copies directly.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from actionrec.native.data.batch import Batch, BatchBuffer
from actionrec.native.data.workers import ClipDataset, Worker, collate

PREFETCHED = 4  # batches that the workers write ahead of the one that is delivered
HELD = 2  # earlier batches that stay valid, because their copies to a GPU may still be running
NUM_BUFFERS = PREFETCHED + 1 + HELD


@dataclass(frozen=True)
class PendingBatch:
    """A batch that `workers` are writing."""

    batch: Batch
    workers: Sequence[Worker]

    def wait(self) -> list[Exception]:
        """Wait for all workers, also after an error; return their errors."""
        return [error for worker in self.workers if (error := worker.wait()) is not None]

    def result(self) -> Batch:
        """Wait for the batch; raise the first error of its workers."""
        for error in self.wait():
            raise error
        return self.batch


class DataLoader:
    """Yields a batch for each list of keys in `batch_sampler`, in this order.

    A batch's memory stays valid while the next `HELD` batches are taken. `largest_batch` is a list
    of keys whose batch needs as much memory as any. With `num_workers` 0 this process makes each
    batch when it is due. An error with a clip is raised when its batch is due, and so is a worker
    that reads nothing new for `timeout` seconds; 0 waits for ever. The workers live as long as the
    loader, and serve one iteration after another.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        batch_sampler: Iterable[Sequence[Any]],
        largest_batch: Sequence[Any],
        num_workers: int,
        timeout: float = 0.0,
    ) -> None:
        self.dataset, self.batch_sampler = dataset, batch_sampler
        self._largest_batch, self._num_workers = largest_batch, num_workers
        self._timeout = timeout
        self._buffers: list[BatchBuffer] = []
        self._workers: list[Worker] = []

    def __iter__(self) -> Iterator[Batch]:
        pending: deque[PendingBatch] = deque()
        try:
            for number, keys in enumerate(self.batch_sampler):
                if not self._buffers:
                    self._start()
                # The buffers are used in a ring. Requests run ahead of deliveries by PREFETCHED, so
                # this one's buffer belongs to the oldest batch, which is no longer valid.
                pending.append(self._request(number % NUM_BUFFERS, keys))
                if not self._workers or len(pending) > PREFETCHED:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # If the consumer leaves early or a batch has failed, the answers to the open requests
            # must leave the pipes, or the next iteration would take them for its own.
            for batch in pending:
                batch.wait()

    def _start(self) -> None:
        """Allocate the buffers, then fork the workers, which inherit them."""
        shapes = self.dataset.shapes(self._largest_batch[0])
        max_clips = len(self._largest_batch)
        max_bytes = max_clips * sum(map(math.prod, shapes.values()))
        self._buffers = [BatchBuffer(max_clips, max_bytes) for _ in range(NUM_BUFFERS)]
        self._workers = [
            Worker(self.dataset, self._buffers, self._timeout) for _ in range(self._num_workers)
        ]
        if torch.cuda.is_available():
            for buffer in self._buffers:
                buffer.pin()

    def _request(self, index: int, keys: Sequence[Any]) -> PendingBatch:
        """Have a batch written into the buffer of this index, each clip by its video's worker."""
        buffer, count = self._buffers[index], len(keys)
        batch = buffer.as_batch(count, self.dataset.shapes(keys[0]))
        places = list(enumerate(keys))
        if not self._workers:
            collate(self.dataset, buffer, count, places)
            return PendingBatch(batch, [])
        # A video's frames are in the memory of one worker, so this one writes all its clips. Each
        # clip has a fixed position: it does not matter which worker is done first.
        shares: dict[Worker, list[tuple[int, Any]]] = {}
        for position, key in places:
            owner = self._workers[self.dataset.video_of(key) % len(self._workers)]
            shares.setdefault(owner, []).append((position, key))
        for worker, share in shares.items():
            worker.request(index, count, share)
        return PendingBatch(batch, list(shares))
