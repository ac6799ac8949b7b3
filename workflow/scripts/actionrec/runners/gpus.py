"""Find the GPUs that a task may use, and lease them where several jobs share a workstation."""

import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from actionrec.errors import InputError
from actionrec.utils.locks import try_lock
from actionrec.utils.processes import try_command
from actionrec.utils.text import count

# A scheduler has given the job its GPUs: nobody else uses them.
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "_CONDOR_SLOT")
SECONDS_BETWEEN_TRIES = 0.5

log = logging.getLogger(__name__)


def visible_ids() -> tuple[str, ...] | None:
    """Return the ids of the GPUs that may be used, or None when that is not known.

    CUDA_VISIBLE_DEVICES decides (indices or UUIDs; up to the first invalid one, as CUDA reads
    it), else what the driver lists.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        found, output = try_command("nvidia-smi", "--query-gpu=index", "--format=csv,noheader")
        return tuple(output.split()) if found else None
    ids = []
    for name in chosen.split(","):
        if not re.fullmatch(r"\d+|(GPU|MIG)-[\w/-]+", name.strip()):
            break
        ids.append(name.strip())
    return tuple(ids)


def node_ids(ids: Sequence[str] | None) -> Sequence[str] | None:
    """Return the ids by which a daemon, outside the job, knows the job's GPUs.

    Slurm may number them from 0 within a job; SLURM_STEP_GPUS and SLURM_JOB_GPUS have the node's.
    """
    for name in ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        whole = os.environ.get(name, "").split(",")
        if ids and len(whole) == len(ids) and all(number.isdigit() for number in whole):
            return tuple(whole)
    return ids


@contextmanager
def lease(number: int) -> Iterator[tuple[str, ...] | None]:
    """Yield the ids of `number` GPUs that no other job of this machine has a lease of.

    Waits until there are so many. Under a scheduler all GPUs of the job are yielded at once;
    None stands for GPUs that are not known here, () for none. Raises `InputError` when the
    machine has fewer.
    """
    ids = visible_ids()
    if not ids or any(name in os.environ for name in SCHEDULERS):
        yield ids
        return
    if len(ids) < number:
        raise InputError(
            f"The task asks for {count(number, 'GPU')}.",
            where="CUDA_VISIBLE_DEVICES or nvidia-smi",
            found=", ".join(ids),
            fix="lower num_gpus in the spec",
        )
    with ExitStack() as leases:
        yield _wait_for_lease(ids, number, leases)


def _wait_for_lease(ids: Sequence[str], number: int, leases: ExitStack) -> tuple[str, ...]:
    """Return the ids of `number` GPUs whose locks are held until `leases` close."""
    waiting = False
    while True:
        # All or none: two jobs that each held one of two GPUs would wait for each other forever.
        with ExitStack() as attempt:
            held: list[str] = []
            for gpu in ids:
                if len(held) < number and attempt.enter_context(try_lock(_lock_file(gpu))):
                    held.append(gpu)
            if len(held) == number:
                leases.push(attempt.pop_all())
                return tuple(held)
        if not waiting:
            log.warning("All GPUs are in use (%s): waiting for %d.", ", ".join(ids), number)
            waiting = True
        time.sleep(SECONDS_BETWEEN_TRIES)


def _lock_file(gpu: str) -> Path:
    """Return the lock file of a GPU: in the one folder that all users of a machine share."""
    return Path(tempfile.gettempdir(), f"actionrec-gpu-{gpu.replace('/', '-')}.lock")
