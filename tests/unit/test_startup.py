"""Importing what the jobs import makes no threads, unless the user asks for them."""

import os
import subprocess
import sys

import pytest

COUNT = "import os, actionrec, numpy; print(len(os.listdir('/proc/self/task')))"


@pytest.mark.skipif(
    os.uname().machine != "x86_64" or os.cpu_count() == 1, reason="NumPy may make no threads here"
)
@pytest.mark.parametrize(("asked", "threads"), [({}, 1), ({"OPENBLAS_NUM_THREADS": "2"}, 2)])
def test_numpy_makes_only_the_threads_that_the_user_asked_for(asked, threads):
    inherited = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        env={**inherited, **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == threads
