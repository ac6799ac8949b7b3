"""How a command of the engine begins and ends, as PyTorch and CUDA take seconds for both."""

import atexit
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from actionrec.native.distributed import launch

LOST = 120  # Python's exit code if what was printed could not be written
SPARED = "_meta_registrations"  # of PyTorch


def set_up_pytorch() -> None:
    """Set what PyTorch reads from the environment when it is imported, unless it is set."""
    # Its threads must sleep, not spin, while they wait for each other: with another job on the
    # same two cores a spinning step takes 7.2 s, a sleeping one 0.8 s. "active" spins.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # No search through all installed packages for backends that PyTorch does not know.
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def start_gpu(gpu_ids: Sequence[int]) -> None:
    """Start CUDA and this process's GPU while PyTorch is imported, which would wait for them."""
    with suppress(OSError, IndexError):  # no driver; no such process, which is told later
        driver = ctypes.CDLL("libcuda.so.1")
        number = gpu_ids[launch.local_rank(len(gpu_ids))]
        threading.Thread(target=_make_context, args=(driver, number)).start()


def _make_context(driver: ctypes.CDLL, number: int) -> None:
    """Make the context that PyTorch will use; what is wrong with a GPU is said by PyTorch."""
    device, context = ctypes.c_int(), ctypes.c_void_p()
    if not (driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), number)):
        driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)


def load(name: str) -> ModuleType:
    """Import a module that imports PyTorch, in half of the time.

    The collector is off meanwhile; what the import has made stays to the end, and need never be
    looked at again.
    """
    gc.disable()
    try:
        with _spared():
            return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _spared() -> Iterator[None]:
    """Keep PyTorch from importing its operators for tensors without data.

    They are a fifth of its import, and only its compiler wants them. Who imports them later gets
    them.
    """
    if "torch" in sys.modules:
        yield
        return
    name = f"torch.{SPARED}"
    sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]
        if "torch" in sys.modules:
            vars(sys.modules["torch"]).pop(SPARED, None)


def end(code: int) -> NoReturn:
    """End this process at once: to take PyTorch and CUDA down in order takes up to a second.

    One of several that fails does not even wait for its ties to the others.
    """
    if not (code and launch.is_launched()):
        atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # whoever read it has gone, or the disk is full
        code = code or LOST
    os._exit(code)
