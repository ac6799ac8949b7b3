"""Fast start and end of a command: PyTorch and CUDA take seconds for each if left to themselves."""

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

EXIT_OUTPUT_LOST = 120  # Python's own exit code if stdout could not be flushed
META_REGISTRATIONS = "_meta_registrations"  # a module of PyTorch


def set_up_pytorch() -> None:
    """Set the variables that PyTorch reads when it is imported, unless the user has set them."""
    # OpenMP threads must sleep, not spin, while they wait for each other: next to another job on
    # the same two cores, a step takes 7.2 s with spinning threads and 0.8 s with sleeping ones.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Do not search all installed packages for backends from outside PyTorch.
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def start_gpu(gpu_ids: Sequence[int]) -> None:
    """Start CUDA and this process's GPU in a thread, while the main thread imports PyTorch."""
    # Without a driver there is no GPU; a wrong rank is reported by `process_group.select_device`.
    with suppress(OSError, IndexError):
        driver = ctypes.CDLL("libcuda.so.1")
        number = gpu_ids[launch.local_rank(len(gpu_ids))]
        threading.Thread(target=_create_context, args=(driver, number)).start()


def _create_context(driver: ctypes.CDLL, number: int) -> None:
    """Create the CUDA context that PyTorch will use; errors are left for PyTorch to report."""
    device, context = ctypes.c_int(), ctypes.c_void_p()
    if not (driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), number)):
        driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)


def fast_import(name: str) -> ModuleType:
    """Import a module that imports PyTorch, in half of the usual time.

    The garbage collector is off during the import. `gc.freeze` then exempts what the import has
    created, which lives to the end of the process.
    """
    gc.disable()
    try:
        with _without_meta_registrations():
            return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _without_meta_registrations() -> Iterator[None]:
    """Keep PyTorch from importing its operators for tensors without data ("meta").

    They take a fifth of its import, and only its compiler needs them. An empty module stands in
    for theirs meanwhile and is removed at the end, so a later import gets the real one.
    """
    if "torch" in sys.modules:
        yield
        return
    name = f"torch.{META_REGISTRATIONS}"
    sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]
        if "torch" in sys.modules:
            vars(sys.modules["torch"]).pop(META_REGISTRATIONS, None)


def exit_fast(code: int) -> NoReturn:
    """End this process at once: an orderly shutdown of PyTorch and CUDA takes up to a second.

    If one of several ranks fails it skips even the exit functions, which would wait for the others.
    """
    if not (code and launch.is_launched()):
        atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # the reader has gone, or the disk is full
        code = code or EXIT_OUTPUT_LOST
    os._exit(code)
