"""Runners: real processes that print, fail, and die with their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actionrec import runners
from actionrec.errors import InputError


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return a function that puts an `action_recognition` with a given body on PATH."""

    def install(body: str) -> Path:
        program = tmp_path / "bin/action_recognition"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\n{body}")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return program

    return install


def run(tmp_path, task="train"):
    return runners.execute(
        "direct",
        [task, "-e", str(tmp_path / "spec.yaml")],
        threads=3,
        log_file=tmp_path / "logs/task.log",
    )


def test_the_command_is_taos(tmp_path):
    arguments = ["evaluate", "-e", str(tmp_path / "spec.yaml")]
    native = runners.native_command(["action_recognition"], arguments)
    assert native == [sys.executable, "-m", "actionrec.native", *arguments]


def test_output_is_kept_in_the_log_and_returned(tmp_path, command):
    command("import sys; print('out', *sys.argv[1:3]); print('err', file=sys.stderr); sys.exit(7)")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/task.log").write_text("before\n")
    code, output = run(tmp_path)
    assert code == 7
    assert "out train -e" in output
    assert "err" in output
    assert (tmp_path / "logs/task.log").read_text() == "before\n" + output


def test_the_environment_is_clean_and_bounded(tmp_path, command, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    command("import os; print(os.environ.get('WORLD_SIZE'), os.environ['OMP_NUM_THREADS'])")
    assert run(tmp_path)[1].split() == ["None", "3"]


def test_progress_reaches_the_terminal_and_other_lines_do_not(
    tmp_path, command, monkeypatch, capfd
):
    monkeypatch.setattr(runners, "SECONDS_BETWEEN_LINES", -1)
    command(r"import sys; sys.stderr.write('\rEpoch 1:  50%|##  | 1/2'); print('\nmodel text')")
    run(tmp_path)
    shown = capfd.readouterr().err
    assert "Epoch 1:  50%|" in shown
    assert "model text" not in shown


def test_a_missing_command_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"tao\.runner: native"):
        run(tmp_path)


def test_the_task_dies_with_a_killed_parent(tmp_path, command):
    """kill -9 of the rule's process leaves no training behind."""
    command(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path)!r}, 'pid').write_text(str(os.getpid()))\n"
        "time.sleep(60)"
    )
    code = (
        "import sys; from pathlib import Path; from actionrec import runners; "
        f"runners.execute('direct', ['train', '-e', 's.yaml'], threads=1, "
        f"log_file=Path({str(tmp_path)!r}, 'log'))"
    )
    variables = os.environ | {"PYTHONPATH": str(runners.PACKAGES)}
    parent = subprocess.Popen([sys.executable, "-c", code], env=variables)
    pid = tmp_path / "pid"
    wait_until(lambda: pid.exists() and pid.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not alive(int(pid.read_text())))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
