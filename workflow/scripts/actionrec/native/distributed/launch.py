"""One process for each GPU: which rank this one has, and how the ranks of one machine are started.

The ranks find each other by torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR...), so torchrun,
or anything that sets the same variables, can start them on several machines. So can `run`, if Slurm
starts the command once on each. This module imports nothing heavy: the process that starts the
ranks needs no PyTorch.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionrec.errors import InputError
from actionrec.native.status import StatusLog
from actionrec.utils.processes import dying_with_parent
from actionrec.utils.text import count

POLL_SECONDS = 0.1
SECONDS_TO_END = 10.0  # from the signal that asks a rank to end to the one that kills it
# The first two are those of srun's tasks, the others those of `runners.slurm`, which calls srun.
SLURM_VARIABLES = ("SLURM_NODEID", "SLURM_STEP_NUM_NODES", "MASTER_ADDR", "MASTER_PORT")


class ReportedByAnotherRank(Exception):
    """Say that this rank failed, too, and another one reports why."""


class ConnectionLost(Exception):
    """Say that a rank that this one computes with has ended, or its machine."""


@dataclass(frozen=True)
class Machines:
    """How many machines a task has, which of them this is, and where its rank 0 listens."""

    number: int
    this: int
    address: str
    port: int


def is_launched() -> bool:
    """Tell whether this process is a rank that torchrun or `run` has started."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def rank() -> int:
    """Return the number of this process, from 0; only rank 0 prints and writes."""
    return int(os.environ["RANK"]) if is_launched() else 0


def world_size() -> int:
    """Return the number of processes of this task."""
    return int(os.environ["WORLD_SIZE"]) if is_launched() else 1


def local_world_size(gpus: int) -> int:
    """Return the number of processes on this machine, one for each of its `gpus`."""
    return min(world_size(), gpus)


def local_rank(gpus: int) -> int:
    """Return the number of this process on its machine, of which the task uses `gpus` GPUs."""
    return int(os.environ.get("LOCAL_RANK", rank() % gpus)) if is_launched() else 0


def shard(items: Sequence[Any]) -> list[Any]:
    """Return this rank's part of `items`: every `world_size()`-th."""
    return list(items[rank() :: world_size()])


def silence() -> None:
    """Let this process print errors only, because rank 0 prints the same."""
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    logging.disable(logging.WARNING)


def is_needed(section: Mapping[str, Any]) -> bool:
    """Tell whether a task with this section of the spec needs ranks from `run`."""
    several_here = section.get("num_nodes", 1) == 1 < section.get("num_gpus", 1)
    return not is_launched() and (several_here or _is_started_by_slurm())


def check_world_size(section: Mapping[str, Any], where: str) -> None:
    """Raise `InputError` unless each machine has as many ranks as the task's section asks for.

    `where` names the spec's file and section in the message.
    """
    gpus, nodes = section.get("num_gpus", 1), section.get("num_nodes", 1)
    # Not every launcher says how many ranks a machine has.
    here = int(os.environ.get("LOCAL_WORLD_SIZE", gpus)) if is_launched() else 1
    if (world_size(), here) == (gpus * nodes, gpus):
        return
    program = f"torchrun --nnodes={nodes} --nproc-per-node={gpus}"
    found = f"{count(world_size(), 'process')}, {here} on this machine"
    raise InputError(
        "There must be one process for each GPU.",
        where=f"{where}.num_gpus, {where}.num_nodes",
        found=f"{found}, for num_gpus {gpus}, num_nodes {nodes}",
        fix=f"start the command on each machine by `{program} --rdzv-backend=c10d "
        "--rdzv-endpoint=HOST:29400 -m actionrec.native ...`",
    )


def machines(section: Mapping[str, Any], where: str) -> Machines:
    """Return the machines on which `run` starts ranks; this one alone, unless Slurm has started it.

    Raises `InputError` if they are not as many as the task's section asks for; `where` names the
    spec's file and section in the message.
    """
    if not _is_started_by_slurm():
        return Machines(1, 0, "127.0.0.1", _free_port())
    this, number, address, port = (os.environ[name] for name in SLURM_VARIABLES)
    nodes = section.get("num_nodes", 1)
    if int(number) != nodes:
        raise InputError(
            "The job has another number of machines than the spec.",
            where=f"{where}.num_nodes",
            found=f"{nodes}, and {count(int(number), 'machine')} in the step of Slurm",
            fix=f"let the job have {nodes}; the workflow asks for as many, unless a profile "
            "sets `nodes`",
        )
    return Machines(int(number), int(this), address, int(port))


def _is_started_by_slurm() -> bool:
    return all(name in os.environ for name in SLURM_VARIABLES)


def run(arguments: Sequence[str], num_ranks: int, folder: Path, machines: Machines) -> int:
    """Run the engine's command as `num_ranks` processes of this machine; return the exit code.

    If a rank fails or is killed, or this process gets SIGTERM or SIGINT, all ranks end, and the
    last line of folder/status.json is a FAILURE. No rank outlives this process, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "status.json"
    path.touch()
    size_before = path.stat().st_size
    # The handler only notes the signal. An exception would be lost if it came during a fork.
    received: list[int] = []
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda number, _: received.append(number))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for local_rank in range(num_ranks):
            processes.append(_start_rank(arguments, local_rank, num_ranks, machines))
        failed = _first_failure(processes, received)
        if signal.SIGINT in received:  # Ctrl-C reaches all ranks, and one of them reports it
            _wait(processes, SECONDS_TO_END / 2)
    finally:
        _end(processes)
    if received:
        code, message = 128 + received[0], "User/System interruption: the command was ended"
    elif failed is None:
        return 0
    else:
        code = processes[failed].returncode
        name = f"rank {machines.this * num_ranks + failed}"
        if machines.number > 1:
            name += f" on {socket.gethostname()}"
        message = f"The process of {name} {_describe(code)}; the others were ended."
    # A rank that raised an error has reported it. One that was killed could not.
    if code < 0 or b'"status": "FAILURE"' not in path.read_bytes()[size_before:]:
        print(message, file=sys.stderr)
        StatusLog(path).write(message, status="FAILURE")
    return code if code in (130, 143) else 1


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _start_rank(
    arguments: Sequence[str], local_rank: int, num_ranks: int, machines: Machines
) -> subprocess.Popen[bytes]:
    """Start one of a machine's ranks in this process's group, for a terminal's signals."""
    torchrun = {
        "RANK": str(machines.this * num_ranks + local_rank),
        "LOCAL_RANK": str(local_rank),
        "LOCAL_WORLD_SIZE": str(num_ranks),
        "WORLD_SIZE": str(machines.number * num_ranks),
        "MASTER_ADDR": machines.address,
        "MASTER_PORT": str(machines.port),
    }
    threads = max(1, (os.cpu_count() or 1) // num_ranks)
    # PyTorch would log stack traces when another rank has ended; `run` reports that itself.
    defaults = {"OMP_NUM_THREADS": str(threads), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    return subprocess.Popen(
        [sys.executable, "-m", "actionrec.native", *arguments],
        stdin=subprocess.DEVNULL,
        env=defaults | os.environ | torchrun,
        preexec_fn=dying_with_parent(),
    )


def _first_failure(
    processes: Sequence[subprocess.Popen[bytes]], received: Sequence[int]
) -> int | None:
    """Wait for all ranks, a failure or a signal; return the rank that failed, if one did.

    Of several failures a killed rank, whose code is negative, comes first: the others may have
    failed because it was gone.
    """
    while not received:
        codes = [process.poll() for process in processes]
        failures = [(code, rank) for rank, code in enumerate(codes) if code]
        if failures:
            return min(failures)[1]
        if None not in codes:
            return None
        time.sleep(POLL_SECONDS)
    return None


def _describe(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> bool:
    """Wait for processes to end; tell whether all have ended."""
    end = time.monotonic() + seconds
    while any(process.poll() is None for process in processes) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return all(process.poll() is not None for process in processes)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End the processes that still run, by force if they do not react to SIGTERM."""
    for _ in range(int(SECONDS_TO_END)):  # repeatedly: one that is just starting may miss it
        for process in processes:
            process.terminate()
        if _wait(processes, 1):
            return
    for process in processes:
        process.kill()
        process.wait()
