"""CUDA graphs of a training step: the GPU's kernels are captured once, then replayed in one launch.

A small batch keeps the GPU busy for less time than Python needs to launch its kernels one by one.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actionrec.native.data.batch import Batch

WARMUP_BATCHES = 3  # of each shape before the capture, as PyTorch's notes on CUDA graphs advise

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CapturedGraph:
    """A graph with the static memory that it reads (`batch`) and writes (`gradients`)."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    gradients: list[Tensor | None]


class GraphedForwardBackward:
    """Calls `forward_backward`, which leaves gradients in `parameters`, by replaying its graph.

    There is one graph for each shape of a batch. The first batches of a shape run without it,
    because cuDNN chooses its kernels then. The results are the same both ways. What the function
    takes from the host, besides the shape, stays as it was captured. If the memory is too small
    for graphs, the training continues without them.
    """

    def __init__(
        self, forward_backward: Callable[[Batch], None], parameters: Iterable[nn.Parameter]
    ) -> None:
        self._forward_backward, self._parameters = forward_backward, list(parameters)
        self._seen: Counter[Any] = Counter()  # batches, by shape
        self._graphs: dict[Any, CapturedGraph] = {}
        self._pool = torch.cuda.graph_pool_handle()  # shared: only one graph runs at a time
        self._enabled = True

    def __call__(self, batch: Batch) -> None:
        """Run on a batch on the GPU, in the current stream, which must not be the default one."""
        try:
            self._run(batch)
        except torch.OutOfMemoryError:
            if not self._enabled:
                raise
            log.warning("The GPU's memory is too small for CUDA graphs: training without them.")
            self._enabled = False
            self._graphs.clear()
            self._drop_gradients()
            torch.cuda.empty_cache()
            self._forward_backward(batch)

    def _run(self, batch: Batch) -> None:
        shape = tuple(tensor.shape for tensor in batch.device_tensors)
        self._seen[shape] += 1
        if not self._enabled or self._seen[shape] <= WARMUP_BATCHES:
            self._forward_backward(batch)
            return
        if shape not in self._graphs:
            self._graphs[shape] = self._capture(batch)
        captured = self._graphs[shape]
        for static, tensor in zip(captured.batch.device_tensors, batch.device_tensors, strict=True):
            static.copy_(tensor)
        captured.graph.replay()
        # Each graph writes gradients of its own, and zero_grad has removed them from the network.
        for parameter, gradient in zip(self._parameters, captured.gradients, strict=True):
            parameter.grad = gradient

    def _capture(self, batch: Batch) -> CapturedGraph:
        """Capture the graph for the batch's shape; this computes nothing yet."""
        self._drop_gradients()  # so that backward allocates them in the graph's memory
        graph, static = torch.cuda.CUDAGraph(), batch.map(torch.clone)
        # With "thread_local", other threads, such as NCCL's watchdog, may use CUDA meanwhile.
        with torch.cuda.graph(
            graph,
            pool=self._pool,
            stream=torch.cuda.current_stream(),
            capture_error_mode="thread_local",
        ):
            self._forward_backward(static)
        return CapturedGraph(graph, static, [parameter.grad for parameter in self._parameters])

    def _drop_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None
