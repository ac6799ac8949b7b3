"""The command: python -m actionrec.native TASK -e SPEC.yaml [a.b=c ...].

TASK is train, evaluate, inference or export.

Exit codes as TAO's: 0 done, 1 failed (with a FAILURE line in status.json, if there is a results
folder), 2 no such subtask.
"""

import argparse
import ctypes
import gc
import logging
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

from omegaconf import DictConfig, OmegaConf

from actionrec import encryption
from actionrec import spec as specs
from actionrec.errors import InputError
from actionrec.files import write_text
from actionrec.native import launch
from actionrec.native.status import StatusLog

FUNCTIONS = {"train": "train", "evaluate": "evaluate", "inference": "infer", "export": "export"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subtask and return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m actionrec.native", description="A drop-in for TAO's action_recognition."
    )
    parser.add_argument("task", choices=specs.TASKS)
    parser.add_argument("-e", "--experiment_spec_file", metavar="SPEC", help="a spec, .yaml")
    known, overrides = parser.parse_known_args(arguments)
    try:
        if known.experiment_spec_file is None:
            raise InputError("No spec is given.", fix=f"add -e SPEC.yaml after {known.task}")
        where = Path(known.experiment_spec_file)
        spec = specs.load(where, overrides)
        specs.count_gpus(spec[known.task])
        folder = specs.results_dir(spec, known.task, where)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    if launch.is_due(spec[known.task]):
        given = sys.argv[1:] if arguments is None else arguments
        return launch.start(given, spec[known.task].num_gpus, folder)
    return _run(known.task, spec, where, folder)


def _run(task: str, spec: DictConfig, where: Path, folder: Path) -> int:
    spec.results_dir = spec[task].results_dir = str(folder)
    status = StatusLog(folder / "status.json")
    own = _begin(task, spec, folder, status)
    # PyTorch is imported late: a mistake in a spec is told before it is there.
    _set_up_pytorch()
    if task != "export":
        _start_driver()
    try:
        with _company(spec, task):
            _refuse_unsupported(spec, task, where)
            _use_key(spec, where)
            module = _load(f"actionrec.native.{task}")
            getattr(module, FUNCTIONS[task])(spec, where, own, folder)
    except launch.ReportedElsewhere:
        return 1
    except InputError as error:
        status.write(f"Parameter validation error: {error}", status="FAILURE")
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        message = f"User/System interruption: {task.capitalize()} was interrupted"
        status.write(message, status="FAILURE")
        return 130
    except Exception as error:
        kind = "File system error" if isinstance(error, OSError) else type(error).__name__
        status.write(f"{kind}: {error}", status="FAILURE")
        traceback.print_exc()
        return 1
    own.write(f"{task.capitalize()} finished successfully.")
    return 0


def _set_up_pytorch() -> None:
    """Set what PyTorch reads from the environment when it is imported, unless it is set."""
    # Its threads must sleep, not spin, while they wait for each other: with another job on the
    # same two cores a spinning step takes 7.2 s, a sleeping one 0.8 s. "active" spins.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # No search through all installed packages for backends that PyTorch does not know.
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")


def _start_driver() -> None:
    """Have CUDA's driver start while PyTorch is imported; later PyTorch would wait for it."""
    with suppress(OSError):  # where there is none
        driver = ctypes.CDLL("libcuda.so.1")
        threading.Thread(target=driver.cuInit, args=(0,)).start()


def _load(name: str) -> ModuleType:
    """Import a module with the collector off: it takes a third of the time of importing PyTorch.

    What the import has made stays to the end, and need never be looked at again.
    """
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _begin(task: str, spec: DictConfig, folder: Path, status: StatusLog) -> StatusLog:
    """Begin the task's files; return the log for this process, one of several that only fails."""
    if launch.rank():
        launch.hush()
        return StatusLog(Path(os.devnull))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "experiment.yaml", specs.written(_without_key(spec)))
    status.write(f"Starting Action Recognition {task}.", status="STARTED")
    return status


def _company(spec: DictConfig, task: str) -> AbstractContextManager[None]:
    """Return the context in which this process works with others, if there are any."""
    if launch.size() == 1:
        return nullcontext()
    return import_module("actionrec.native.distributed").joined(spec[task])


def _refuse_unsupported(spec: DictConfig, task: str, where: Path) -> None:
    specs.require(spec, "dataset.label_map", where)
    launch.refuse_other_size(spec[task], f"{where}: {task}")
    if OmegaConf.select(spec, f"{task}.trt_engine"):
        raise InputError(
            "The native engine runs no TensorRT engines.",
            where=f"{where}: {task}.trt_engine",
            fix="remove the key and set a checkpoint",
        )


def _without_key(spec: DictConfig) -> DictConfig:
    """Return the spec with a reference in place of the key, which belongs into no file."""
    shown = spec.copy()
    if shown.encryption_key:
        shown.encryption_key = specs.KEY
    return shown


def _use_key(spec: DictConfig, where: Path) -> None:
    """Let the encryption find the spec's key, and see that it can run before anything long does."""
    if OmegaConf.is_interpolation(spec, "encryption_key"):
        encryption.key()
    if spec.encryption_key:
        os.environ["TAO_KEY"] = spec.encryption_key
        encryption.prepare()


def _end(code: int) -> None:
    """End this process; one of several that fails does not wait for its ties to the others."""
    if code and launch.is_launched():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    _end(main())
