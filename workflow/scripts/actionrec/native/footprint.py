"""How many clips a network can judge at a time in the memory that there is."""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actionrec.native import networks, streams
from actionrec.native.loader import SLOTS
from actionrec.native.memory import spare_memory

MOST = 64  # clips at a time; a GPU is busy with fewer
MARGIN = 4  # for what convolutions need beside input and output, and for shortcuts
MOST_BYTES_OF_CPU = 2**29  # with more a CPU is slower: 8 clips of 32 frames take twice 8 times one


def batch_size(
    network: nn.Module, model: Any, device: torch.device, most: int, processes: int = 1
) -> Callable[[int], int]:
    """Return the number of clips that are to be judged at a time, by their number of frames.

    The network, which is on `device`, sees one clip of the spec's `model` to find out what it
    takes. A GPU gives half of what it has free; the host, in which batches wait for the network,
    a quarter of what is spare for each of its `processes`, but no more than makes it faster.
    """
    shapes = networks.input_shapes(model)
    clip = tuple(torch.zeros(1, *shape, device=device) for shape in shapes.values())
    waiting = SLOTS * sum(int(np.prod(shape)) for shape in shapes.values())
    room = spare_memory() // 4 // processes
    if device.type == "cpu":
        room = min(room, MOST_BYTES_OF_CPU)
        fitting = room / (MARGIN * _largest_layer(network, clip, room // 2 // MARGIN) + waiting)
    else:
        free, _ = torch.cuda.mem_get_info(device)
        fitting = min(free / 2 / (MARGIN * _largest_layer(network, clip)), room / waiting)
    frames = min(streams(model).values())
    return lambda length: max(1, min(most, int(fitting * frames / length)))


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
