"""Execute TAO's command `action_recognition` with one of several runners."""

import ctypes
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from actionrec.errors import InputError

PACKAGES = Path(__file__).resolve().parents[1]
PROGRESS = re.compile(rb"\d+%\|")
SECONDS_BETWEEN_LINES = 15
# torchrun's and Slurm's variables make TAO rewrite the spec file in place.
FOREIGN_VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "NUM_GPU_PER_NODE")

log = logging.getLogger(__name__)


def native_command(program: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Return the command of the built-in engine, in this very Python."""
    return [sys.executable, "-m", "actionrec.native", *arguments]


def direct_command(program: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Return the command of a TAO that is installed here, as inside its containers."""
    if shutil.which("action_recognition") is None:
        raise InputError(
            "The runner `direct` finds no `action_recognition` on PATH.",
            where="configuration, tao.runner",
            found="direct",
            fix="run inside a TAO container, or set tao.runner: native",
        )
    return [*program, *arguments]


COMMANDS: Mapping[str, Callable[[Sequence[str], Sequence[str]], list[str]]] = {
    "native": native_command,
    "direct": direct_command,
}


def environment(threads: int) -> dict[str, str]:
    """Return the variables of a task: ours importable, its threads bounded, no foreign ranks."""
    variables = {k: v for k, v in os.environ.items() if k not in FOREIGN_VARIABLES}
    inherited = variables.get("PYTHONPATH")
    variables["PYTHONPATH"] = os.pathsep.join([str(PACKAGES), *([inherited] if inherited else [])])
    variables["OMP_NUM_THREADS"] = str(threads)
    variables["PYTHONUNBUFFERED"] = "1"
    variables["TELEMETRY_OPT_OUT"] = "yes"
    return variables


def execute(
    runner: str,
    arguments: Sequence[str],
    *,
    program: Sequence[str] = ("action_recognition",),
    threads: int,
    log_file: Path,
) -> tuple[int, str]:
    """Run one task to its end; return its exit code, which proves nothing with TAO, and its words.

    What it prints is appended to `log_file` as it comes; progress bars reach the terminal too.
    The task dies with this process, however this process dies.
    """
    command = COMMANDS[runner](program, arguments)
    log.info("%s", " ".join(command))
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as copy:
        start = copy.tell()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(threads),
            preexec_fn=_die_with_parent,
        ) as process:
            show = _terminal()
            for piece in _pieces(process.stdout, copy):
                show(piece)
    with log_file.open("rb") as copy:
        copy.seek(start)
        return process.returncode, copy.read().decode(errors="replace")


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies (prctl PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _pieces(stream: BinaryIO, copy: BinaryIO) -> Iterator[bytes]:
    """Yield what a process prints, cut at line ends and carriage returns, and copy it raw."""
    rest = b""
    while chunk := stream.read1(65536):
        copy.write(chunk)
        copy.flush()
        *whole, rest = re.split(rb"[\r\n]+", rest + chunk)
        yield from whole
    if rest:
        yield rest


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
