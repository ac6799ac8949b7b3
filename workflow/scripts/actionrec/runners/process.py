"""Run a command as a child process: its output goes to a log, its progress to the terminal.

It ends when this process does, in whatever way this process ends.
"""

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
from typing import IO, BinaryIO, cast

from actionrec.runners import watchdog
from actionrec.runners.request import TaskRequest
from actionrec.utils.processes import dying_with_parent

PACKAGES = Path(__file__).resolve().parents[2]
PROGRESS_BAR = re.compile(rb"\d+%\|")
SECONDS_BETWEEN_LINES = 15
TERMINAL_SIZE = (40, 120)
CHUNK = 65536
# torchrun's variables make TAO rewrite the spec file in place; Slurm's make Lightning wait for
# the other ranks of a job step.
RANK_VARIABLES = (
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
    """Return a task's environment: this package importable, threads bounded, no foreign ranks."""
    inherited = {k: v for k, v in os.environ.items() if k not in RANK_VARIABLES}
    path = inherited.get("PYTHONPATH")
    own = {
        "PYTHONPATH": os.pathsep.join([str(PACKAGES), *([path] if path else [])]),
        **common_variables(threads),
    }
    return {**inherited, **own, **variables}


def with_gpus(request: TaskRequest, gpus: Sequence[str] | None) -> dict[str, str]:
    """Return the environment of a task that sees the GPUs with these ids only, if any are known."""
    visible = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    return environment({**visible, **request.variables}, request.threads)


def common_variables(threads: int) -> dict[str, str]:
    """Return the variables, none of them secret, that every runner gives to every task."""
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
    stdin_pipe: bool = False,
) -> tuple[int, str]:
    """Run a command to its end; return its exit code, which proves nothing with TAO, and output.

    `variables` are all of its environment. What it prints is appended to `log_file` as it comes;
    progress bars reach the terminal too. With `terminal` its streams are a terminal; with
    `stdin_pipe` its stdin is a pipe that closes when this process ends. The command dies with
    this process, however this process dies.
    """
    log.info("%s", shlex.join(command))
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as copy:
        start = copy.tell()
        child, output = _start(command, variables, terminal, stdin_pipe)
        with child, output, _killed_with_this_process(child):
            show = _progress_printer()
            for line in _output_lines(output, copy):
                show(line)
    # Read back from the log rather than collected: a training may print for days.
    with log_file.open("rb") as copy:
        copy.seek(start)
        return child.returncode, copy.read().decode(errors="replace")


def _start(
    command: Sequence[str], variables: Mapping[str, str], terminal: bool, stdin_pipe: bool
) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """Start a command; return it with the stream of what it prints."""
    if not terminal:
        stdin = subprocess.PIPE if stdin_pipe else subprocess.DEVNULL
        child = _popen(command, variables, stdin, subprocess.PIPE, subprocess.STDOUT)
        return child, cast(IO[bytes], child.stdout)
    own_end, its_end = pty.openpty()
    termios.tcsetwinsize(its_end, TERMINAL_SIZE)
    try:
        child = _popen(command, variables, its_end, its_end, its_end)
    finally:
        os.close(its_end)  # as long as this process has it open, the output does not end
    return child, os.fdopen(own_end, "rb")


def _popen(
    command: Sequence[str], variables: Mapping[str, str], stdin: int, stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=variables,
        # Two guards: the kernel kills the child itself at once; what the child has started is in
        # its process group, which it leads in a session of its own and which the watchdog kills.
        preexec_fn=dying_with_parent(),
        start_new_session=True,
    )


@contextmanager
def _killed_with_this_process(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Let nothing that a command has started outlive this process, nor an exception within."""
    with watchdog.watching("group", str(child.pid)):
        try:
            yield
        except BaseException:  # also Ctrl-C, which does not reach another session
            watchdog.kill_group(child.pid)
            raise


def _output_lines(stream: IO[bytes], copy: BinaryIO) -> Iterator[bytes]:
    """Yield what a process prints, split at line ends and carriage returns, and copy it raw.

    A progress bar overwrites itself with carriage returns: each of its states is a line here.
    """
    rest = b""
    while chunk := _read(stream):
        copy.write(chunk)
        copy.flush()  # whoever follows the log sees it at once, and a kill loses nothing
        *lines, rest = re.split(rb"[\r\n]+", rest + chunk)
        yield from lines
    if rest:
        yield rest


def _read(stream: IO[bytes]) -> bytes:
    """Return what is there, waiting for the first byte; nothing at the end."""
    try:
        return os.read(stream.fileno(), CHUNK)
    except OSError:  # EIO: the last process on the other side of a terminal has ended
        return b""


def _progress_printer() -> Callable[[bytes], None]:
    """Return a function that shows progress: in place on a terminal, else a line now and then."""
    in_place = sys.stderr.isatty()
    last = time.monotonic()

    def show(line: bytes) -> None:
        nonlocal last
        if not PROGRESS_BAR.search(line):
            return
        text = line.decode(errors="replace").strip()
        if in_place:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    return show
