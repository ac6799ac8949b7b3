"""How many clips a network can score at a time, in the memory that is free."""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actionrec.native import networks
from actionrec.native.data.dataloader import NUM_BUFFERS
from actionrec.native.data.frame_memory import spare_memory
from actionrec.native.streams import stream_lengths

MAX_BATCH_SIZE = 64  # a GPU is fully used with fewer clips
MARGIN = 4  # times a layer's input and output: for shortcuts, and what convolutions allocate
MAX_CORE_BYTES = 2**29  # for one core's batch; two clips of 32 frames take 2.1 times as long as one


@dataclass(frozen=True)
class BatchPlan:
    """How many batches are scored at the same time, and how large they are."""

    parallel: int  # 1 on a GPU, up to the number of cores on a CPU
    max_batch_size: int
    max_frames: float  # of all clips of a batch together

    def batch_size(self, length: int) -> int:
        """Return how many clips of `length` frames a batch may have, at least one."""
        return max(1, min(self.max_batch_size, int(self.max_frames / length)))


def plan_batches(
    network: nn.Module,
    model: Any,
    device: torch.device,
    *,
    max_batch_size: int = MAX_BATCH_SIZE,
    longest_clip: int = 0,
    processes: int = 1,
) -> BatchPlan:
    """Return a plan that fits into memory; the network, on `device`, sees one clip to measure it.

    `model` is the section of the spec. `longest_clip` is a number of frames, if clips can be longer
    than the section says. `processes` is the number of processes that share the machine's memory.
    """
    frames = min(stream_lengths(model).values())
    shapes = networks.input_shapes(model)
    clip = tuple(torch.zeros(1, *shape, device=device) for shape in shapes.values())
    host_memory = spare_memory() // 4 // processes  # a quarter of what frames may take
    if device.type == "cpu":
        # A layer that allows no second clip ends the measurement: each core then takes one clip at
        # a time, however large the other layers are, and a CPU would need long to see them all.
        clip_bytes = MARGIN * _largest_layer(network, clip, MAX_CORE_BYTES // 2 // MARGIN)
        # Each core scores a batch of its own, as long as all have memory for a clip.
        longest_clips = host_memory * frames // (clip_bytes * max(longest_clip, frames))
        parallel = max(1, min(torch.get_num_threads(), longest_clips))
        clips = min(host_memory / parallel, MAX_CORE_BYTES) / clip_bytes
    else:
        # A GPU scores one batch after another, in half of its free memory. The loader's buffers
        # for the batches are in the host's memory.
        parallel = 1
        free, _ = torch.cuda.mem_get_info(device)
        buffer_bytes = NUM_BUFFERS * sum(int(np.prod(shape)) for shape in shapes.values())
        clips = min(free / 2 / (MARGIN * _largest_layer(network, clip)), host_memory / buffer_bytes)
    return BatchPlan(parallel, max_batch_size, clips * frames)


class _LimitReached(Exception):
    """End a forward pass whose remaining layers do not matter."""


@torch.inference_mode()
def _largest_layer(network: nn.Module, clip: tuple[Tensor, ...], limit: float = math.inf) -> int:
    """Return the bytes of input and output of the largest layer for one clip.

    It stops at the first layer above `limit`, and returns its bytes.
    """
    largest = 0

    def measure(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, sum(tensor.nbytes for tensor in (*inputs, output)))
        if largest > limit:
            raise _LimitReached

    layers = [module for module in network.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(measure) for layer in layers]
    with suppress(_LimitReached):
        network(clip if len(clip) > 1 else clip[0])
    for hook in hooks:
        hook.remove()
    return largest
