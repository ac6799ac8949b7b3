"""How many clips a network can judge at a time in the memory that there is."""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actionrec.native import networks
from actionrec.native.data.dataloader import NUM_BUFFERS
from actionrec.native.data.frame_memory import spare_memory
from actionrec.native.streams import stream_lengths

MOST = 64  # clips at a time; a GPU is busy with fewer
MARGIN = 4  # for what convolutions need beside input and output, and for shortcuts
MOST_BYTES_OF_CORE = 2**29  # with more it is slower: two clips of 32 frames take 2.1 times one


def batches(
    network: nn.Module,
    model: Any,
    device: torch.device,
    *,
    most: int = MOST,
    longest: int = 0,
    processes: int = 1,
) -> tuple[int, Callable[[int], int]]:
    """Return how many batches there may be beside each other, and of how many clips.

    The latter by their number of frames, which is `longest` at most, else the `model`'s. The
    network, on `device`, sees one clip of the spec's `model` to find out what it takes. A GPU
    works on one batch after another, in half of the memory that it has free. The cores of a CPU
    have one each, if a quarter of what is spare for each of the `processes` has room for as many.
    """
    shapes = networks.input_shapes(model)
    frames = min(stream_lengths(model).values())
    clip = tuple(torch.zeros(1, *shape, device=device) for shape in shapes.values())
    room = spare_memory() // 4 // processes
    if device.type == "cpu":
        enough = MOST_BYTES_OF_CORE // 2 // MARGIN
        size = MARGIN * _largest_layer(network, clip, enough)
        longest_fitting = room * frames // (size * max(longest, frames))
        beside = max(1, min(torch.get_num_threads(), longest_fitting))
        fitting = min(room / beside, MOST_BYTES_OF_CORE) / size
    else:
        beside, waiting = 1, NUM_BUFFERS * sum(int(np.prod(shape)) for shape in shapes.values())
        free, _ = torch.cuda.mem_get_info(device)
        fitting = min(free / 2 / (MARGIN * _largest_layer(network, clip)), room / waiting)
    return beside, lambda length: max(1, min(most, int(fitting * frames / length)))


class _Enough(Exception):
    """Say that what has been seen of a network answers the question."""


@torch.inference_mode()
def _largest_layer(network: nn.Module, clip: tuple[Tensor, ...], enough: float = math.inf) -> int:
    """Return how many bytes go into and come out of a layer, of the one with the most.

    The first with more than `enough` does: a second clip would not fit, and a CPU takes its time.
    """
    most = 0

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal most
        most = max(most, sum(tensor.nbytes for tensor in (*inputs, output)))
        if most > enough:
            raise _Enough

    layers = [module for module in network.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with suppress(_Enough):
        network(clip if len(clip) > 1 else clip[0])
    for hook in hooks:
        hook.remove()
    return most
