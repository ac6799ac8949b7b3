"""GPUs: found as CUDA finds them, leased to one job at a time, left to a scheduler."""

import os
import subprocess
import sys
import threading

import pytest

from actionrec.errors import InputError
from actionrec.runners import gpus, process


@pytest.fixture(autouse=True)
def workstation(tmp_path, monkeypatch):
    for name in gpus.SCHEDULERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpus.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("value", "ids"),
    [("0,2", ("0", "2")), ("", ()), ("-1", ()), ("GPU-8f, 1", ("GPU-8f", "1"))],
)
def test_the_environment_decides_which_may_be_used(monkeypatch, value, ids):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert gpus.visible_ids() == ids


def test_else_the_driver_is_asked_and_without_one_they_are_unknown(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.visible_ids() is None
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 0\necho 1\n")
    driver.chmod(0o755)
    assert gpus.visible_ids() == ("0", "1")


def test_two_jobs_never_share_one_and_a_third_waits(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with gpus.lease(1) as first:
        with gpus.lease(1) as second:
            assert {*first, *second} == {"0", "1"}
            waiter = threading.Thread(target=lambda: got.extend(take()))
            got = []
            waiter.start()
            waiter.join(1)
            assert got == []
        waiter.join(10)
        assert got == list(second)


def test_a_dead_job_leaves_no_lease(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    code = (
        "import os; from actionrec.runners import gpus\n"
        "with gpus.lease(1): print('held', flush=True); os.read(0, 1)"
    )
    variables = os.environ | {"PYTHONPATH": str(process.PACKAGES), "TMPDIR": str(tmp_path)}
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    assert take() == ("0",)


def test_a_scheduler_has_decided_already(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with gpus.lease(1), gpus.lease(1) as ids:
        assert ids == ("3",)


def test_a_daemon_knows_them_by_the_nodes_ids(monkeypatch):
    monkeypatch.delenv("SLURM_STEP_GPUS", raising=False)
    monkeypatch.setenv("SLURM_JOB_GPUS", "2,3")
    assert gpus.node_ids(("0", "1")) == ("2", "3")
    assert gpus.node_ids(("0",)) == ("0",)
    assert gpus.node_ids(None) is None


def test_more_than_there_are_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(InputError, match="asks for 2 GPUs"), gpus.lease(2):
        pass


def take() -> tuple[str, ...]:
    with gpus.lease(1) as ids:
        return ids
