"""Copies of batches to a device, one ahead of the batch in use."""

from collections import deque
from collections.abc import Iterable, Iterator

import torch

from actionrec.native.data.batch import Batch
from actionrec.native.data.dataloader import HELD


def prefetch_to_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield each batch on `device`; a GPU copies the next one while it works on the present one."""
    if device.type != "cuda":
        # Copies, too, so that a batch stays valid as long as the consumer keeps it.
        yield from (batch.map(torch.clone) for batch in batches)
        return
    copy_stream = torch.cuda.Stream(device)
    following: tuple[Batch, torch.cuda.Event] | None = None
    copies: deque[torch.cuda.Event] = deque()
    for batch in batches:
        # The consumer gets the batch before, whose copy has run during the step before.
        present, following = following, _start_copy(batch, device, copy_stream)
        if present is not None:
            yield _finish_copy(*present)
        copies.append(following[1])
        # When the next batch is taken, the loader writes to the memory of the batch `HELD` before
        # this one, so the copy of that one must be complete. It usually is: this rarely waits.
        if len(copies) > HELD:
            copies.popleft().synchronize()
    if following is not None:
        yield _finish_copy(*following)


def _start_copy(
    batch: Batch, device: torch.device, copy_stream: torch.cuda.Stream
) -> tuple[Batch, torch.cuda.Event]:
    with torch.cuda.stream(copy_stream):
        copied = batch.map(lambda tensor: tensor.to(device, non_blocking=True))
        return copied, copy_stream.record_event()


def _finish_copy(batch: Batch, copied: torch.cuda.Event) -> Batch:
    """Let the current stream wait for the copy; the host does not wait.

    `record_stream` keeps PyTorch from reusing the memory before the current stream is done with
    it, because it belongs to the copying stream.
    """
    current = torch.cuda.current_stream()
    current.wait_event(copied)
    for tensor in batch.device_tensors:
        tensor.record_stream(current)
    return batch
