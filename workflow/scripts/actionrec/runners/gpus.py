"""Find out which GPUs a task may use, and lease them where several jobs share a workstation."""

import fcntl
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from actionrec.errors import InputError
from actionrec.runners.requirements import ask

# Where a scheduler has handed the job its GPUs, nobody else uses them.
SCHEDULERS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "_CONDOR_SLOT")
SECONDS_BETWEEN_TRIES = 0.5

log = logging.getLogger(__name__)


def visible() -> tuple[str, ...] | None:
    """Return the ids of the GPUs that may be used, or None when that is not known.

    CUDA_VISIBLE_DEVICES decides (indices or UUIDs; up to the first invalid one, as CUDA reads
    it), else what the driver lists.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        found, said = ask("nvidia-smi", "--query-gpu=index", "--format=csv,noheader")
        return tuple(said.split()) if found else None
    ids = []
    for name in chosen.split(","):
        if not re.fullmatch(r"\d+|(GPU|MIG)-[\w/-]+", name.strip()):
            break
        ids.append(name.strip())
    return tuple(ids)


def of_the_node(ids: Sequence[str] | None) -> Sequence[str] | None:
    """Return the ids by which a daemon, outside the job, knows the job's GPUs.

    Slurm may number them anew within a job; SLURM_STEP_GPUS and SLURM_JOB_GPUS keep the node's ids.
    """
    for name in ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        whole = os.environ.get(name, "").split(",")
        if ids and len(whole) == len(ids) and all(number.isdigit() for number in whole):
            return tuple(whole)
    return ids


@contextmanager
def leased(count: int) -> Iterator[tuple[str, ...] | None]:
    """Yield the ids of `count` GPUs that no other job of this machine holds a lease of.

    Waits until there are so many. Under a scheduler all GPUs of the job are yielded at once;
    None stands for GPUs that are not known here, () for none. Raises `InputError` when the
    machine has fewer.
    """
    ids = visible()
    if not ids or any(name in os.environ for name in SCHEDULERS):
        yield ids
        return
    if len(ids) < count:
        raise InputError(
            f"The task asks for {count} GPUs.",
            where="CUDA_VISIBLE_DEVICES or nvidia-smi",
            found=", ".join(ids),
            fix="lower num_gpus in the spec",
        )
    with ExitStack() as locks:
        yield _take(ids, count, locks)


def _take(ids: Sequence[str], count: int, locks: ExitStack) -> tuple[str, ...]:
    waiting = False
    while True:
        with ExitStack() as attempt:
            held = []
            for name in ids:
                if len(held) < count and _lock(name, attempt):
                    held.append(name)
            if len(held) == count:
                locks.push(attempt.pop_all())
                return tuple(held)
        if not waiting:
            log.warning("All GPUs are in use (%s): waiting for %d.", ", ".join(ids), count)
            waiting = True
        time.sleep(SECONDS_BETWEEN_TRIES)


def _lock(name: str, locks: ExitStack) -> bool:
    """Lock a GPU's file until `locks` close, or this process dies; tell whether it was free."""
    path = Path(tempfile.gettempdir(), f"actionrec-gpu-{name.replace('/', '-')}.lock")
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # another user's: not to be created
    except FileNotFoundError:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    locks.callback(os.close, file)
    return True
