"""The process group of a task, and the device of this process."""

import gc
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import distributed as dist

from actionrec.errors import InputError
from actionrec.native.distributed import launch
from actionrec.utils import malloc

BACKEND = "ACTIONREC_BACKEND"  # "gloo": several processes on CPUs, for trying things out
# What gloo, and last NCCL, say in a RuntimeError.
PEER_IS_GONE = ("closed by peer", "connection reset", "broken pipe", "remote process exited")
TIMEOUT = timedelta(minutes=30)  # for a rank that has not started, or is saving or validating


@contextmanager
def process_group(section: Mapping[str, Any], where: str) -> Iterator[None]:
    """Join the other processes of a task; `section` is the task's section of the spec.

    `where` names the section in messages. An error of several ranks is raised in the one that
    failed first. In the others it becomes `ReportedByAnotherRank`. If a rank was killed, the first
    that notices raises `ConnectionLost`.
    """
    store, rank, world_size = next(dist.rendezvous("env://", timeout=TIMEOUT))
    failures = dist.PrefixStore("actionrec", store)
    try:
        launch.check_world_size(section, where)
        device = select_device(section["gpu_ids"])
        dist.init_process_group(
            "gloo" if device.type == "cpu" else "nccl",
            store=store,
            rank=rank,
            world_size=world_size,
            timeout=TIMEOUT,
            device_id=None if device.type == "cpu" else device,
        )
        yield
        dist.barrier()
    except BaseException as error:
        if not _is_first_failure(failures):
            raise launch.ReportedByAnotherRank from error
        if _is_lost_connection(error):
            raise _connection_lost(error) from error
        raise
    # The task's CUDA graphs hold collectives, and destroying the group would wait for them for
    # ever (pytorch/pytorch#115388), so they are collected first.
    gc.collect()
    dist.destroy_process_group()


def _is_first_failure(failures: dist.Store) -> bool:
    """Count a failure in the ranks' common store; tell whether it is the first.

    If the machine that holds the store is gone, the first rank of each other machine reports it.
    """
    try:
        return failures.add("failed", 1) == 1
    except RuntimeError:
        return os.environ.get("LOCAL_RANK") == "0"


def _is_lost_connection(error: BaseException) -> bool:
    """Tell whether a collective failed because another rank was gone."""
    said = str(error).lower()
    return isinstance(error, dist.DistNetworkError | dist.DistStoreError) or (
        isinstance(error, RuntimeError) and any(words in said for words in PEER_IS_GONE)
    )


def _connection_lost(error: BaseException) -> launch.ConnectionLost:
    said = str(error).partition("\n")[0]
    return launch.ConnectionLost(
        f"Rank {launch.rank()} on {socket.gethostname()} has lost the connection to another "
        "process of this task: that one, or its machine, has ended. What it has printed says why, "
        "unless it was killed. Run again: a training resumes from its last checkpoint. "
        f"(PyTorch: {said})"
    )


def select_device(gpu_ids: Sequence[int]) -> torch.device:
    """Set up and return the device of this process, one of `gpu_ids` by its local rank.

    Without a GPU a single process computes on the CPU, unless the spec names another GPU than the
    first; several do so only if ACTIONREC_BACKEND is gloo. Raises `InputError` for a GPU that does
    not exist.
    """
    several = launch.world_size() > 1
    on_cpus = several and os.environ.get(BACKEND) == "gloo"
    any_device = not several and list(gpu_ids) == [0]
    if on_cpus or (any_device and not torch.cuda.is_available()):
        malloc.keep_freed()
        return torch.device("cpu")
    number, count = gpu_ids[launch.local_rank(len(gpu_ids))], torch.cuda.device_count()
    if number not in range(count):
        raise InputError(
            "The spec asks for a GPU that this process does not see.",
            where="spec: gpu_ids, num_gpus",
            found=f"GPU {number} of {list(gpu_ids)}",
            allowed=list(range(count)) or "none: there is no GPU here",
            fix="lower num_gpus, or let the job see more GPUs (snakemake --resources gpu=N); "
            "they are counted from 0 within CUDA_VISIBLE_DEVICES",
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)
