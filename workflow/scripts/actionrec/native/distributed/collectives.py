"""What the processes of one task share: counts, results, and the word of process 0."""

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from actionrec.errors import InputError
from actionrec.native import malloc
from actionrec.native.distributed import launch

BACKEND = "ACTIONREC_BACKEND"  # gloo: on CPUs, one process each, to try things out
PATIENCE = timedelta(minutes=30)  # with a process that does not come, or save, or validate


@contextmanager
def joined(section: Mapping[str, Any]) -> Iterator[None]:
    """Join the other processes, for a task with this section of the spec.

    Whatever fails in several of them is raised in one, and as `ReportedElsewhere` in the others.
    """
    store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
    failures = dist.PrefixStore("actionrec", store)
    try:
        place = device(section["gpu_ids"])
        dist.init_process_group(
            "gloo" if place.type == "cpu" else "nccl",
            store=store,
            rank=rank,
            world_size=size,
            timeout=PATIENCE,
            device_id=None if place.type == "cpu" else place,
        )
        yield
        dist.barrier()
    except BaseException as error:
        if _is_first(failures):
            raise
        raise launch.ReportedElsewhere from error
    # CUDA graphs of the task, which hold collectives, go first: parting would wait for them for
    # ever (pytorch/pytorch#115388).
    gc.collect()
    dist.destroy_process_group()


def _is_first(failures: dist.Store) -> bool:
    """Count a failure; tell whether it is the first."""
    try:
        return failures.add("failed", 1) == 1
    except RuntimeError:  # whoever keeps the count has gone, which its parent will report
        return False


def device(gpu_ids: Sequence[int]) -> torch.device:
    """Choose and set up the device of this process, on a machine that gives `gpu_ids` to the task.

    Without a GPU that is the CPU, but not for several processes, unless the environment asks for
    it. Raises `InputError` for a GPU that is not there.
    """
    several = launch.size() > 1
    on_cpus = several and os.environ.get(BACKEND) == "gloo"
    if on_cpus or not (several or torch.cuda.is_available()):
        malloc.keep_freed()
        return torch.device("cpu")
    number, count = gpu_ids[launch.local_rank(len(gpu_ids))], torch.cuda.device_count()
    if number not in range(count):
        raise InputError(
            "The spec asks for a GPU that this process does not see.",
            where="spec: gpu_ids, num_gpus",
            found=f"GPU {number} of {list(gpu_ids)}",
            allowed=list(range(count)) or ["none: there is no GPU here"],
            fix="lower num_gpus, or let the job see more GPUs (snakemake --resources gpu=N); "
            "they are counted from 0 within CUDA_VISIBLE_DEVICES",
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def summed(counts: Tensor) -> Tensor:
    """Return the sum of the processes' counts."""
    if launch.size() == 1:
        return counts
    total = counts.clone()
    dist.all_reduce(total)
    return total


def take_first(tensors: Iterable[Tensor]) -> None:
    """Give tensors the values that they have in process 0."""
    if launch.size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def assembled(own: Sequence[Any]) -> list[Any]:
    """Return, in every process, the results of all, of what `launch.share` has divided."""
    if launch.size() == 1:
        return list(own)
    parts: list[Any] = [None] * launch.size()
    dist.all_gather_object(parts, list(own))
    results: list[Any] = [None] * sum(map(len, parts))
    for number, part in enumerate(parts):
        results[number :: launch.size()] = part
    return results
