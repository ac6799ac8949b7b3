"""Work of a GPU that is recorded once, as a CUDA graph, and from then on launched in one call.

A small batch keeps the GPU busy for less time than Python takes to launch its kernels one by one.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actionrec.native.data.batch import Batch

WARM_UP = 3  # batches of a shape before it is recorded, as PyTorch's notes on CUDA graphs advise

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """A graph, with the batch that it reads and the gradients that it writes."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    gradients: list[Tensor | None]


class Recorded:
    """Does `work`, which leaves a batch's gradients in `parameters`, by replaying its kernels.

    The first batches of each shape are worked on as they come, for kernels are chosen then.
    Results are the same both ways. What `work` takes from the host beside the batch's shape
    stays as it was recorded. Where the memory does not do for graphs, the work goes on without.
    """

    def __init__(self, work: Callable[[Batch], None], parameters: Iterable[nn.Parameter]) -> None:
        self._work, self._parameters = work, list(parameters)
        self._seen: Counter[Any] = Counter()
        self._recordings: dict[Any, Recording] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._recording = True

    def __call__(self, batch: Batch) -> None:
        """Work on a batch on the GPU, in the present stream, which must not be the default one."""
        try:
            self._do(batch)
        except torch.OutOfMemoryError:
            if not self._recording:
                raise
            log.warning("The GPU's memory does not do for CUDA graphs: training goes on without.")
            self._recording = False
            self._recordings.clear()
            self._forget_gradients()
            torch.cuda.empty_cache()
            self._work(batch)

    def _do(self, batch: Batch) -> None:
        shape = tuple(tensor.shape for tensor in batch.device_tensors)
        self._seen[shape] += 1
        if not self._recording or self._seen[shape] <= WARM_UP:
            self._work(batch)
            return
        if shape not in self._recordings:
            self._recordings[shape] = self._record(batch)
        recording = self._recordings[shape]
        for there, here in zip(recording.batch.device_tensors, batch.device_tensors, strict=True):
            there.copy_(here)
        recording.graph.replay()
        for parameter, gradient in zip(self._parameters, recording.gradients, strict=True):
            parameter.grad = gradient

    def _record(self, batch: Batch) -> Recording:
        self._forget_gradients()
        graph, own = torch.cuda.CUDAGraph(), batch.map(torch.clone)
        # Other threads go on pinning memory for the coming batches.
        with torch.cuda.graph(
            graph,
            pool=self._pool,
            stream=torch.cuda.current_stream(),
            capture_error_mode="thread_local",
        ):
            self._work(own)
        return Recording(graph, own, [parameter.grad for parameter in self._parameters])

    def _forget_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
