"""Collective operations on the ranks of a task; with a single process they change nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor
from torch import distributed as dist

from actionrec.native.distributed import launch


def all_reduce(counts: Tensor) -> Tensor:
    """Return the sum of `counts` over all ranks; the argument stays as it is."""
    if launch.world_size() == 1:
        return counts
    total = counts.clone()
    dist.all_reduce(total)
    return total


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors with their values in rank 0."""
    if launch.world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def all_gather(results: Sequence[Any]) -> list[Any]:
    """Return, in every rank, the results for all items that `launch.shard` has divided.

    `results` are those of this rank's shard; the returned list has the order of all items.
    """
    if launch.world_size() == 1:
        return list(results)
    shards: list[Any] = [None] * launch.world_size()
    dist.all_gather_object(shards, list(results))
    gathered: list[Any] = [None] * sum(map(len, shards))
    for rank, shard in enumerate(shards):
        gathered[rank :: launch.world_size()] = shard
    return gathered
