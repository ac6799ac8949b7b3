"""Processes: the cores they may use, short commands, and children that end with their parent."""

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Looked up here: a child between fork and exec must do as little as possible.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

SECONDS = 20  # that a short command may take
SECONDS_TO_END = 20  # that a process may take to clean up when its ancestor has died


def usable_cores() -> int:
    """Return how many cores this process may use: those of its job, where a scheduler says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def try_command(*command: str) -> tuple[bool, str]:
    """Run a short command; return whether it succeeded, and its output or its error message."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return False, f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return False, f"no answer within {SECONDS} s"
    return done.returncode == 0, (done.stdout if done.returncode == 0 else done.stderr).strip()


def dying_with_parent() -> Callable[[], None]:
    """Return a `preexec_fn` for the children that this process starts, which then die with it.

    To the kernel the parent is the thread that starts the child. On systems other than Linux the
    function does nothing.
    """
    return partial(_die_with, os.getpid())


def die_with_parent() -> None:
    """Let the kernel kill this process when the one that has started it dies."""
    _die_with(os.getppid())


def _die_with(parent: int) -> None:
    if _PRCTL is None:
        return
    _PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent that died before the call above sends no signal: its child has another parent by now.
    if os.getppid() != parent:
        os._exit(1)


def start_time(pid: int) -> str | None:
    """Return when a process was started, in the kernel's ticks; None if there is no such process.

    With its id it tells a process from all others of this machine.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before may hold anything
    return None if state in "ZX" else fields[18]


def _parent_of(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return int(stat.rpartition(")")[2].split()[1])


@contextmanager
def ending_with(name: str) -> Iterator[None]:
    """Interrupt this process, as Ctrl-C does, when an ancestor that runs program `name` dies.

    A program that is killed with SIGKILL cannot end what it has started, and between it and this
    process there may be shells that live on. On systems other than Linux nothing is watched.
    """
    watched = [os.pidfd_open(pid) for pid in _ancestors(name)] if sys.platform == "linux" else []
    if not watched:
        yield
        return
    signal.signal(signal.SIGUSR1, signal.default_int_handler)
    done, finish = os.pipe()
    threading.Thread(target=_interrupt_at_end, args=(watched, done), daemon=True).start()
    try:
        yield
    finally:
        os.close(finish)


def _ancestors(name: str) -> Iterator[int]:
    """Yield the ids of this process's ancestors that run a program or Python module `name`."""
    pid = os.getppid()
    while pid > 1:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:4]
            if any(Path(os.fsdecode(word)).name == name for word in words):
                yield pid
        try:
            pid = _parent_of(pid)
        except OSError:
            return


def _interrupt_at_end(watched: list[int], done: int) -> None:
    """Interrupt the main thread when one of the watched processes ends; return when all is done."""
    poll = select.poll()
    for descriptor in (*watched, done):
        poll.register(descriptor, select.POLLIN)
    ended = {descriptor for descriptor, _ in poll.poll()}
    if done not in ended:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        time.sleep(SECONDS_TO_END)
        os._exit(1)  # the main thread does not come to an end: its children end with this process
    for descriptor in (*watched, done):
        os.close(descriptor)
