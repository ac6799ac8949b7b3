"""The command: python -m actionrec.native TASK -e SPEC.yaml [a.b=c ...].

TASK is train, evaluate, inference or export. The exit codes are TAO's:

0    the task is done
1    it failed; if there is a results folder, status.json ends with a FAILURE line
2    there is no such task
120  it is done, but its output could not be printed
"""

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from actionrec.errors import InputError
from actionrec.native import startup
from actionrec.native.distributed import launch
from actionrec.native.status import StatusLog
from actionrec.spec.load import load_spec, reconcile_gpus, require_key, results_dir
from actionrec.spec.render import to_yaml
from actionrec.spec.toolkits import KEY_REFERENCE, TASKS
from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.files import write_text
from actionrec.utils.processes import die_with_parent
from actionrec.utils.small_files import explained, require_file
from actionrec.weights import encryption

# Of each task's module; not imported here, because that imports PyTorch.
FUNCTIONS = {"train": "train", "evaluate": "evaluate", "inference": "infer", "export": "export"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one task, or start several ranks that run it; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m actionrec.native", description="A drop-in for TAO's action_recognition."
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("-e", "--experiment_spec_file", metavar="SPEC", help="a spec, .yaml")
    known, overrides = parser.parse_known_args(arguments)
    machines = None
    try:
        if known.experiment_spec_file is None:
            raise InputError("No spec is given.", fix=f"add -e SPEC.yaml after {known.task}")
        spec_path = Path(known.experiment_spec_file)
        spec = load_spec(spec_path, overrides)
        section = spec[known.task]
        reconcile_gpus(section)
        folder = results_dir(spec, known.task, spec_path)
        if launch.is_needed(section):
            machines = launch.machines(section, f"{spec_path}: {known.task}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    if machines:
        given = sys.argv[1:] if arguments is None else arguments
        return launch.run(given, section.num_gpus, folder, machines)
    if launch.is_launched():
        die_with_parent()  # torchrun's processes would outlive it if it were killed
    return _run(known.task, spec, spec_path, folder)


def _run(task: str, spec: DictConfig, spec_path: Path, folder: Path) -> int:
    """Run a task in this process; report any error in `folder`/status.json."""
    spec.results_dir = spec[task].results_dir = str(folder)
    failures = StatusLog(folder / "status.json")
    try:
        with explained_disk_errors(folder / "status.json"):
            log = _begin(task, spec, folder, failures)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        with explained_disk_errors(folder / "status.json"):
            _execute(task, spec, spec_path, log, folder)
    except launch.ReportedByAnotherRank:
        return 1
    except KeyboardInterrupt:
        _report(failures, f"User/System interruption: {task.capitalize()} was interrupted")
        return 130
    except Exception as error:
        _report(failures, _status_message(error))
        _print_failure(error, task, spec_path)
        return 1
    log.write(f"{task.capitalize()} finished successfully.")
    return 0


def _execute(task: str, spec: DictConfig, spec_path: Path, log: StatusLog, folder: Path) -> None:
    """Call the function of a task, in a process group where there are several ranks."""
    # PyTorch is imported after this line, so that errors in the spec appear at once.
    startup.set_up_pytorch()
    if task != "export":
        startup.start_gpu(spec[task].gpu_ids)
    with _process_group(spec, task, f"{spec_path}: {task}"):
        _check_supported(spec, task, spec_path)
        _export_key(spec)
        module = startup.fast_import(f"actionrec.native.{task}")
        getattr(module, FUNCTIONS[task])(spec, spec_path, log, folder)


def _status_message(error: Exception) -> str:
    """Return what status.json says of an error: its kind, in TAO's words where TAO has some."""
    if isinstance(error, launch.ConnectionLost):
        return str(error)
    if isinstance(error, InputError):
        return f"Parameter validation error: {error}"
    if _is_out_of_memory(error):
        return f"Out of memory: {error}"
    kind = "File system error" if isinstance(error, OSError) else type(error).__name__
    return f"{kind}: {error}"


def _print_failure(error: Exception, task: str, spec_path: Path) -> None:
    """Print what a user can do about an error, or the traceback of one that nobody expected."""
    if isinstance(error, launch.ConnectionLost | InputError):
        print(error, file=sys.stderr)
    elif _is_out_of_memory(error):
        print(_memory_advice(task, spec_path, error), file=sys.stderr)
    elif isinstance(error, OSError) and (known := explained(error)):
        print(known, file=sys.stderr)
    else:
        traceback.print_exception(error)


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether an allocation failed; PyTorch and NumPy each say it their way."""
    said = ("allocate memory", "not enough memory", "calculation overflow", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in said)
    )


def _memory_advice(task: str, spec_path: Path, error: Exception) -> InputError:
    return InputError(
        f"There is not enough memory to {task}.",
        where=spec_path,
        found=str(error).partition("\n")[0] or type(error).__name__,
        fix="lower dataset.batch_size, model.rgb_seq_length or the input size; or dataset.workers",
    )


def _report(failures: StatusLog, message: str) -> None:
    """Write why the task failed; on a full disk that is only printed."""
    with suppress(OSError):
        failures.write(message, status="FAILURE")


def _begin(task: str, spec: DictConfig, folder: Path, status: StatusLog) -> StatusLog:
    """Write the task's first files; return the log that this rank writes its progress to.

    Ranks other than 0 stay silent, except for failures.
    """
    if launch.rank():
        launch.silence()
        return StatusLog(Path(os.devnull))
    folder.mkdir(parents=True, exist_ok=True)
    require_file(folder / "status.json")
    write_text(folder / "experiment.yaml", to_yaml(_without_key(spec)))
    status.write(f"Starting Action Recognition {task}.", status="STARTED")
    return status


def _process_group(spec: DictConfig, task: str, where: str) -> AbstractContextManager[None]:
    """Return the context in which this rank can reach the others, if there are any."""
    if launch.world_size() == 1:
        launch.check_world_size(spec[task], where)
        return nullcontext()
    module = startup.fast_import("actionrec.native.distributed.process_group")
    return module.process_group(spec[task], where)


def _check_supported(spec: DictConfig, task: str, spec_path: Path) -> None:
    require_key(spec, "dataset.label_map", spec_path)
    if OmegaConf.select(spec, f"{task}.trt_engine"):
        raise InputError(
            "The native engine runs no TensorRT engines.",
            where=f"{spec_path}: {task}.trt_engine",
            fix="remove the key and set a checkpoint",
        )


def _without_key(spec: DictConfig) -> DictConfig:
    """Return the spec with a reference to TAO_KEY instead of the key, which no file may hold."""
    shown = spec.copy()
    if shown.encryption_key:
        shown.encryption_key = KEY_REFERENCE
    return shown


def _export_key(spec: DictConfig) -> None:
    """Pass the spec's key to the encryption by TAO_KEY, and check that the encryption can run.

    It is checked before anything that takes long, because it needs a Python of its own.
    """
    if OmegaConf.is_interpolation(spec, "encryption_key"):
        encryption.key()
    if spec.encryption_key:
        os.environ["TAO_KEY"] = spec.encryption_key
        encryption.prepare()


if __name__ == "__main__":
    startup.exit_fast(main())
