"""Child processes: short commands, and children that the kernel kills with their parent."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Looked up here: a child between fork and exec must do as little as possible.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

SECONDS = 20  # that a short command may take


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


def _die_with(parent: int) -> None:
    if _PRCTL is None:
        return
    _PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)
    # A parent that died before the call above sends no signal: its child has another parent by now.
    if os.getppid() != parent:
        os._exit(1)
