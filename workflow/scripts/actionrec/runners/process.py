"""Execute a command: its words go to a log, its progress to the terminal, its end is ours."""

import logging
import os
import pty
import re
import shlex
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from actionrec.runners import watchdog
from actionrec.runners.request import Request
from actionrec.utils.processes import dying_with_parent

PACKAGES = Path(__file__).resolve().parents[2]
PROGRESS = re.compile(rb"\d+%\|")
SECONDS_BETWEEN_LINES = 15
TERMINAL_SIZE = (40, 120)
# torchrun's variables make TAO rewrite the spec file in place; Slurm's make Lightning wait for
# the other ranks of a job step.
FOREIGN_VARIABLES = (
    "WORLD_SIZE",
    "RANK",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "NODE_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "NUM_GPU_PER_NODE",
    "SLURM_NTASKS",
)

log = logging.getLogger(__name__)


def environment(variables: Mapping[str, str], threads: int) -> dict[str, str]:
    """Return the variables of a task: ours importable, its threads bounded, no foreign ranks."""
    inherited = {k: v for k, v in os.environ.items() if k not in FOREIGN_VARIABLES}
    path = inherited.get("PYTHONPATH")
    ours = {
        "PYTHONPATH": os.pathsep.join([str(PACKAGES), *([path] if path else [])]),
        **settings(threads),
    }
    return {**inherited, **ours, **variables}


def visible(request: Request, gpus: Sequence[str] | None) -> dict[str, str]:
    """Return the environment of a task that sees the GPUs with these ids only, if any are known."""
    seen = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    return environment({**seen, **request.variables}, request.threads)


def settings(threads: int) -> dict[str, str]:
    """Return the variables, none of them secret, that every task is given by every runner."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1",
        "TELEMETRY_OPT_OUT": "yes",
    }


def execute(
    command: Sequence[str],
    variables: Mapping[str, str],
    log_file: Path,
    *,
    terminal: bool = False,
    lifeline: bool = False,
) -> tuple[int, str]:
    """Run a command to its end; return its exit code, which proves nothing with TAO, and its words.

    `variables` are all of its environment. What it prints is appended to `log_file` as it comes;
    progress bars reach the terminal too. With `terminal` it believes to talk to one; with
    `lifeline` its input is a pipe that ends when this process does. The command dies with this
    process, however this process dies.
    """
    log.info("%s", shlex.join(command))
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as copy:
        start = copy.tell()
        process, output = _start(command, variables, terminal, lifeline)
        with process, output, _ending_with_this(process):
            show = _terminal()
            for piece in _pieces(output, copy):
                show(piece)
    with log_file.open("rb") as copy:
        copy.seek(start)
        return process.returncode, copy.read().decode(errors="replace")


def _start(
    command: Sequence[str], variables: Mapping[str, str], terminal: bool, lifeline: bool
) -> tuple[subprocess.Popen[bytes], BinaryIO]:
    """Start a command; return it with the stream of what it prints."""
    if not terminal:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if lifeline else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=variables,
            preexec_fn=dying_with_parent(),
            start_new_session=True,
        )
        return process, process.stdout
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, TERMINAL_SIZE)
    try:
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=variables,
            preexec_fn=dying_with_parent(),
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    return process, os.fdopen(ours, "rb")


@contextmanager
def _ending_with_this(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let nothing that a command has started outlive this process, nor an exception within."""
    with watchdog.watching("group", str(process.pid)):
        try:
            yield
        except BaseException:
            watchdog.kill_group(process.pid)
            raise


def _pieces(stream: BinaryIO, copy: BinaryIO) -> Iterator[bytes]:
    """Yield what a process prints, cut at line ends and carriage returns, and copy it raw."""
    rest = b""
    while chunk := _read(stream):
        copy.write(chunk)
        copy.flush()
        *whole, rest = re.split(rb"[\r\n]+", rest + chunk)
        yield from whole
    if rest:
        yield rest


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.read1(65536)
    except OSError:  # EIO: the last process on the other side of a terminal has gone
        return b""


def _terminal() -> Callable[[bytes], None]:
    """Return a function that shows progress: a living bar on a terminal, else a line at times."""
    living = sys.stderr.isatty()
    last = time.monotonic()

    def show(piece: bytes) -> None:
        nonlocal last
        if not PROGRESS.search(piece):
            return
        text = piece.decode(errors="replace").strip()
        if living:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    return show
