"""The command: python -m actionrec.native TASK -e SPEC.yaml [a.b=c ...].

TASK is train, evaluate, inference or export.

Exit codes as TAO's: 0 done, 1 failed (with a FAILURE line in status.json, if there is a results
folder), 2 no such subtask, 120 done but what was printed is lost.
"""

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from actionrec.errors import InputError
from actionrec.native import startup
from actionrec.native.distributed import launch
from actionrec.native.status import StatusLog
from actionrec.spec.load import load_spec, reconcile_gpus, require_key, results_dir
from actionrec.spec.render import to_yaml
from actionrec.spec.toolkits import KEY_REFERENCE, TASKS
from actionrec.utils.files import write_text
from actionrec.weights import encryption

FUNCTIONS = {"train": "train", "evaluate": "evaluate", "inference": "infer", "export": "export"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subtask and return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m actionrec.native", description="A drop-in for TAO's action_recognition."
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("-e", "--experiment_spec_file", metavar="SPEC", help="a spec, .yaml")
    known, overrides = parser.parse_known_args(arguments)
    try:
        if known.experiment_spec_file is None:
            raise InputError("No spec is given.", fix=f"add -e SPEC.yaml after {known.task}")
        where = Path(known.experiment_spec_file)
        spec = load_spec(where, overrides)
        reconcile_gpus(spec[known.task])
        folder = results_dir(spec, known.task, where)
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
    startup.set_up_pytorch()
    if task != "export":
        startup.start_gpu(spec[task].gpu_ids)
    try:
        with _company(spec, task):
            _refuse_unsupported(spec, task, where)
            _use_key(spec, where)
            module = startup.load(f"actionrec.native.{task}")
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


def _begin(task: str, spec: DictConfig, folder: Path, status: StatusLog) -> StatusLog:
    """Begin the task's files; return the log for this process, one of several that only fails."""
    if launch.rank():
        launch.hush()
        return StatusLog(Path(os.devnull))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "experiment.yaml", to_yaml(_without_key(spec)))
    status.write(f"Starting Action Recognition {task}.", status="STARTED")
    return status


def _company(spec: DictConfig, task: str) -> AbstractContextManager[None]:
    """Return the context in which this process works with others, if there are any."""
    if launch.size() == 1:
        return nullcontext()
    return startup.load("actionrec.native.distributed.collectives").joined(spec[task])


def _refuse_unsupported(spec: DictConfig, task: str, where: Path) -> None:
    require_key(spec, "dataset.label_map", where)
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
        shown.encryption_key = KEY_REFERENCE
    return shown


def _use_key(spec: DictConfig, where: Path) -> None:
    """Let the encryption find the spec's key, and see that it can run before anything long does."""
    if OmegaConf.is_interpolation(spec, "encryption_key"):
        encryption.key()
    if spec.encryption_key:
        os.environ["TAO_KEY"] = spec.encryption_key
        encryption.prepare()


if __name__ == "__main__":
    startup.end(main())
