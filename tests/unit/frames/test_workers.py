"""Worker processes give every result; one that dies costs one item, and says how it died."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actionrec.errors import InputError
from actionrec.frames import workers
from actionrec.frames.workers import Died, call_for_each
from helpers import is_running, wait_for


def call(item):
    """Do what an item says: return it, raise, sleep or die."""
    kind, value = item
    if kind == "signal":
        os.kill(os.getpid(), value)
    if kind == "exit":
        os._exit(value)
    if kind == "raise":
        raise InputError("A frame is damaged.", where=value)
    if kind == "sleep":
        Path(value).write_text(str(os.getpid()))
        time.sleep(60)
    return value


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let workers find this module under a name that they can import."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setitem(sys.modules, "test_workers", sys.modules[__name__])
    monkeypatch.setattr(call, "__module__", "test_workers")


@pytest.mark.parametrize("number", [1, 3])
def test_every_item_has_its_result(number):
    items = [("return", index) for index in range(20)]
    found = list(call_for_each(call, items, number))
    assert sorted(result for _, result in found) == list(range(20))
    assert all(item[1] == result for item, result in found)


DEATHS = [
    (("signal", signal.SIGSEGV), "crashed the process that read it (SIGSEGV)"),
    (("signal", signal.SIGKILL), "was being read when its process was killed (SIGKILL)"),
    (("exit", 3), "ended the process that read it (exit code 3)"),
]


@pytest.mark.parametrize("number", [1, 2])
def test_deaths_cost_their_items_alone(number):
    items = [("return", 0), *[item for item, _ in DEATHS], *[("return", n) for n in range(1, 6)]]
    found = dict(call_for_each(call, items, number))
    assert found.keys() == set(items)
    for item, text in DEATHS:
        assert str(found[item]) == text
    assert [found["return", number] for number in range(6)] == list(range(6))


def test_memory_is_blamed_only_when_the_kernel_counted_a_kill(monkeypatch):
    kills = iter((3, 4))
    monkeypatch.setattr(workers, "memory_kills", lambda: next(kills))
    ((_, died),) = call_for_each(call, [("signal", signal.SIGKILL)], 1)
    assert str(died) == (
        "was being read when memory ran out and the kernel ended the process (SIGKILL)"
    )
    assert "memory" not in str(Died(-signal.SIGSEGV, memory=True))


def test_an_error_arrives_with_the_workers_traceback():
    with pytest.raises(InputError, match="in:      here") as error:
        list(call_for_each(call, [("raise", "here")], 1))
    assert "in call" in "".join(error.value.__notes__)


def test_closing_ends_the_workers_at_once(tmp_path):
    items = [("return", 1), ("sleep", str(tmp_path / "pid"))]
    results = call_for_each(call, items, 2)
    assert next(results) == (("return", 1), 1)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 30
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_workers_do_not_import_again_the_module_of_the_function(tmp_path):
    """It is imported by the caller and by the server that workers are forked from."""
    (tmp_path / "work.py").write_text(
        "import os, sys\nprint(os.getpid(), flush=True)\ndef double(x, y): return 2 * x\n"
    )
    program = (
        "from functools import partial; import work; "
        "from actionrec.frames.workers import call_for_each; "
        "assert len(list(call_for_each(partial(work.double, y=1), range(6), 3))) == 6"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    )
    assert len(ran.stdout.split()) == 2
