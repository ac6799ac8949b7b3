"""Children die with their parent, whichever of the two is quicker."""

import os
import subprocess
import sys

from actionrec.utils.processes import dying_with_parent, start_time
from helpers import REPOSITORY, wait_for

START = """
import subprocess
from actionrec.utils.processes import dying_with_parent

subprocess.Popen(["sleep", "600"], preexec_fn=dying_with_parent())
print("started", flush=True)
input()
"""
ASK_TOO_LATE = """
import os
import time
from actionrec.utils.processes import dying_with_parent

parent, ask = os.getpid(), dying_with_parent()
if os.fork() == 0:
    while os.getppid() == parent:
        time.sleep(0.01)
    print("asks", flush=True)
    ask()
    print("lives", flush=True)
"""
SECONDS = 60  # for what takes a moment, or else ten minutes


def test_a_child_of_a_killed_parent_is_killed():
    parent = subprocess.Popen(
        [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout.readline() == b"started\n"
    parent.kill()
    parent.communicate(timeout=SECONDS)  # the output ends when the child, which holds it, has gone


def test_a_child_whose_parent_has_gone_before_it_asks_ends():
    done = subprocess.run(
        [sys.executable, "-c", ASK_TOO_LATE], capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.stdout, done.stderr) == ("asks\n", "")


def test_a_child_of_a_living_parent_runs_to_its_end():
    done = subprocess.run(["sh", "-c", "exit 7"], preexec_fn=dying_with_parent())
    assert done.returncode == 7


JOB = """
import sys, time
from pathlib import Path
from actionrec.utils.processes import ending_with

try:
    with ending_with("snakemake"):
        Path("started").touch()
        time.sleep(600)
except KeyboardInterrupt:
    Path("interrupted").touch()
"""


def test_a_job_ends_when_snakemake_is_killed_alone(tmp_path):
    """There is a shell between the two, which lives on."""
    (tmp_path / "job.py").write_text(JOB)
    run = f"import os; os.system('{sys.executable} job.py; true')"
    (tmp_path / "snakemake").write_text(run)
    snakemake = subprocess.Popen(
        [sys.executable, str(tmp_path / "snakemake")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "workflow/scripts")},
    )
    wait_for((tmp_path / "started").exists, SECONDS)
    snakemake.kill()
    snakemake.wait()
    wait_for((tmp_path / "interrupted").exists, SECONDS)


def test_a_process_is_told_by_its_start_from_another_of_its_number(tmp_path):
    assert start_time(os.getpid()) == start_time(os.getpid()) is not None
    done = subprocess.Popen(["true"])
    wait_for(lambda: start_time(done.pid) is None)  # a zombie is none
    done.wait()
    assert start_time(done.pid) is None
