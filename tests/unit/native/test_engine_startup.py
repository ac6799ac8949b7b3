"""The start and the end of the engine's commands."""

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actionrec.native.__main__ import main
from actionrec.spec.toolkits import TASKS
from helpers.engine import command, environment, statuses

LATER = """
from actionrec.native import startup
startup.fast_import("actionrec.native.{task}")
import torch
empty = torch.zeros(2, 3, device="meta")
try:
    torch.nn.functional.layer_norm(empty, (3,))
except NotImplementedError:
    print("skipped")
import torch._meta_registrations
print(*torch.nn.functional.layer_norm(empty, (3,)).shape)
"""


class Driver:
    """A stand-in for CUDA's driver; its call `failing` returns an error."""

    def __init__(self, failing: str = "") -> None:
        self.failing, self.calls, self.threads = failing, [], set()

    def _note(self, name: str, *given: int) -> int:
        self.calls.append((name, *given))
        self.threads.add(threading.current_thread())
        return int(name == self.failing)

    def cuInit(self, flags: int) -> int:
        return self._note("cuInit", flags)

    def cuDeviceGet(self, device, number: int) -> int:
        device._obj.value = 40 + number
        return self._note("cuDeviceGet", number)

    def cuDevicePrimaryCtxRetain(self, context, device) -> int:
        return self._note("cuDevicePrimaryCtxRetain", device.value)


@pytest.fixture
def with_driver(monkeypatch):
    """Return a function that replaces CUDA's driver."""
    load = ctypes.CDLL

    def put(driver: Driver) -> Driver:
        monkeypatch.setattr(
            ctypes, "CDLL", lambda name: driver if name == "libcuda.so.1" else load(name)
        )
        return driver

    return put


@pytest.mark.usefixtures("on_a_cpu")
def test_the_gpu_starts_in_a_thread_during_the_import_of_pytorch(trained, tmp_path, with_driver):
    driver = with_driver(Driver())
    options = ["-e", str(trained), f"results_dir={tmp_path}", "evaluate.gpu_ids=[2]"]
    main(["evaluate", *options])  # refused where PyTorch, unlike this driver, sees no third GPU
    assert driver.calls == [("cuInit", 0), ("cuDeviceGet", 2), ("cuDevicePrimaryCtxRetain", 42)]
    assert threading.main_thread() not in driver.threads
    assert main(["export", *options, f"export.onnx_file={tmp_path / 'model.onnx'}"]) == 0
    assert len(driver.calls) == 3


@pytest.mark.parametrize("failing", ["cuInit", "cuDeviceGet"])
def test_without_a_gpu_no_context_is_created(failing, trained, tmp_path, with_driver):
    driver = with_driver(Driver(failing))
    assert main(["evaluate", "-e", str(trained), f"results_dir={tmp_path}"]) == 0
    assert driver.calls[-1][0] == failing


def test_lost_output_is_reported_by_the_exit_code(trained, tmp_path):
    words = command("evaluate", trained, f"results_dir={tmp_path}")
    buffered = {**environment(), "PYTHONUNBUFFERED": ""}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, env=buffered, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 120, done.stderr
    assert "finished successfully" in statuses(tmp_path / "evaluate")[-1]["message"]


@pytest.mark.parametrize("task", TASKS)
def test_meta_operators_that_a_task_skips_can_be_imported_later(task):
    words = [sys.executable, "-c", LATER.format(task=task)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True)
    assert done.stdout.splitlines() == ["skipped", "2 3"], done.stderr


def test_the_reason_is_shown_if_pytorch_cannot_be_imported(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so is missing')")
    words = [
        sys.executable,
        "-c",
        "from actionrec.native import startup; startup.fast_import('torch')",
    ]
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    done = subprocess.run(
        words, env={**environment(), "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == "ImportError: libcudart.so is missing"
