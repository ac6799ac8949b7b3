"""One process a GPU: which of them this is, and how they are started on one machine.

The processes find each other by torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR...), so that
torchrun, or anything that sets the same, can start them on several machines. Loads nothing heavy:
the process that starts the others needs no PyTorch.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actionrec.errors import InputError
from actionrec.native.status import StatusLog
from actionrec.utils.processes import dying_with_parent

SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_END = 10.0


class ReportedElsewhere(Exception):
    """Say that a failure of all processes is another one's to report."""


def is_launched() -> bool:
    """Tell whether this process is one of several that somebody started together."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def rank() -> int:
    """Return the number of this process, from 0; process 0 alone writes and prints."""
    return int(os.environ["RANK"]) if is_launched() else 0


def size() -> int:
    """Return how many processes there are."""
    return int(os.environ["WORLD_SIZE"]) if is_launched() else 1


def local_size(gpus: int) -> int:
    """Return how many processes there are on this machine, one for each of its `gpus`."""
    return min(size(), gpus)


def local_rank(gpus: int) -> int:
    """Return the number of this process on its machine, which gives `gpus` to the task."""
    return int(os.environ.get("LOCAL_RANK", rank() % gpus)) if is_launched() else 0


def share(items: Sequence[Any]) -> list[Any]:
    """Return this process's part of `items`, every `size()`-th."""
    return list(items[rank() :: size()])


def hush() -> None:
    """Let this process print nothing but errors, as another one says the same."""
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    logging.disable(logging.WARNING)


def is_due(section: Mapping[str, Any]) -> bool:
    """Tell whether a task's section of the spec asks for processes that are to be started here."""
    return not is_launched() and section.get("num_nodes", 1) == 1 < section.get("num_gpus", 1)


def refuse_other_size(section: Mapping[str, Any], where: str) -> None:
    """Raise `InputError` unless there are as many processes as the task's section asks for."""
    gpus, nodes = section.get("num_gpus", 1), section.get("num_nodes", 1)
    if size() == gpus * nodes:
        return
    program = f"torchrun --nnodes={nodes} --nproc-per-node={gpus}"
    raise InputError(
        "There must be one process for each GPU.",
        where=f"{where}.num_gpus, {where}.num_nodes",
        found=f"{size()} started for {gpus} GPUs on each of {nodes} machines",
        fix=f"start the command on each machine by `{program} --rdzv-backend=c10d "
        "--rdzv-endpoint=HOST:29400 -m actionrec.native ...`",
    )


def start(arguments: Sequence[str], count: int, folder: Path) -> int:
    """Run the engine's command as `count` processes of this machine; return the exit code.

    If one fails or is killed, or this process is told to end, all end, and the last line of
    folder/status.json is a FAILURE. None outlives this process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "status.json"
    path.touch()
    before = path.stat().st_size
    # An exception in place of this list would be lost if it came while a process is being forked.
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: received.append(number))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        port = _free_port()
        for number in range(count):
            processes.append(_start(arguments, number, count, port))
        failed = _first_failure(processes, received)
        if signal.SIGINT in received:  # a terminal gives it to all, and one of them reports it
            _wait(processes, SECONDS_TO_END / 2)
    finally:
        _end(processes)
    if received:
        code, message = 128 + received[0], "User/System interruption: the command was ended"
    elif failed is None:
        return 0
    else:
        code = processes[failed].returncode
        message = f"The process of rank {failed} {_said(code)}; the others were ended."
    # A process that was killed has said nothing; one that failed has said what.
    if code < 0 or b'"status": "FAILURE"' not in path.read_bytes()[before:]:
        print(message, file=sys.stderr)
        StatusLog(path).write(message, status="FAILURE")
    return code if code in (130, 143) else 1


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _start(arguments: Sequence[str], number: int, count: int, port: int) -> subprocess.Popen[bytes]:
    """Start one process; it shares the terminal's signals with this one."""
    place = {
        "RANK": number,
        "LOCAL_RANK": number,
        "WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    threads = max(1, (os.cpu_count() or 1) // count)
    # Of PyTorch's warnings that another process has gone, with stack traces: it is told here.
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR"}
    variables = {"OMP_NUM_THREADS": str(threads), **quiet, **os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "actionrec.native", *arguments],
        stdin=subprocess.DEVNULL,
        env=variables | {name: str(value) for name, value in place.items()},
        preexec_fn=dying_with_parent(),
    )


def _first_failure(
    processes: Sequence[subprocess.Popen[bytes]], received: Sequence[int]
) -> int | None:
    """Wait for all processes or a signal; return the number of one that has not ended well.

    One that was killed goes before those that failed because it was gone.
    """
    while not received:
        codes = [process.poll() for process in processes]
        failed = [number for number, code in enumerate(codes) if code]
        if failed or None not in codes:
            return min(failed, key=codes.__getitem__, default=None)
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return None


def _said(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float) -> bool:
    """Wait for processes to end; tell whether all have."""
    end = time.monotonic() + seconds
    while any(process.poll() is None for process in processes) and time.monotonic() < end:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return all(process.poll() is not None for process in processes)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what still runs, by force if it does not listen."""
    for _ in range(int(SECONDS_TO_END)):  # again, as one that is just starting may miss it
        for process in processes:
            process.terminate()
        if _wait(processes, 1):
            return
    for process in processes:
        process.kill()
        process.wait()
