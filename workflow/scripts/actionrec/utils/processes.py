"""Child processes that the kernel kills when the process that started them dies."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Looked up here: a child between fork and exec must do as little as possible.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


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
    if os.getppid() != parent:  # which died before the kernel was told
        os._exit(1)
