"""Locks are held by one process at a time, and by none that has died."""

import os
import subprocess
import sys
import threading

import pytest

from actionrec.utils.locks import locked, try_lock
from helpers import REPOSITORY

HOLD = """
import sys
from pathlib import Path
from actionrec.utils import locks

with getattr(locks, sys.argv[1])(Path(sys.argv[2])) as held:
    print(held, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["locked", "try_lock"])
def holder(request, tmp_path):
    """Return a process that holds tmp_path/lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, request.param, tmp_path / "lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "workflow/scripts")},
    ) as process:
        assert process.stdout.readline() == b"True\n"
        yield process
        process.kill()


def test_a_lock_is_held_by_one_process_until_it_is_killed(holder, tmp_path):
    with try_lock(tmp_path / "lock") as held:
        assert not held
    holder.kill()
    holder.wait()
    with try_lock(tmp_path / "lock") as held:
        assert held
    with locked(tmp_path / "lock") as held:
        assert held


def test_whoever_waits_gets_the_lock_when_it_is_free(holder, tmp_path):
    got = []

    def wait():
        with locked(tmp_path / "lock") as held:
            got.append(held)

    waiter = threading.Thread(target=wait)
    waiter.start()
    waiter.join(0.5)
    assert got == []
    holder.stdin.close()
    waiter.join(30)
    assert got == [True]


def test_a_shared_lock_is_held_together_with_others_and_with_no_other_kind(tmp_path):
    with (
        locked(tmp_path / "lock", shared=True) as one,
        locked(tmp_path / "lock", shared=True) as two,
    ):
        assert one and two
        with try_lock(tmp_path / "lock") as held:
            assert not held
    with try_lock(tmp_path / "lock") as held:
        assert held


def test_a_file_that_cannot_be_written_to_can_be_locked(tmp_path):
    """As another user's in /tmp."""
    path = tmp_path / "lock"
    path.touch(mode=0o444)
    with try_lock(path) as held, try_lock(path) as again:
        assert (held, again) == (True, False)


def test_no_lock_where_none_can_be_made(tmp_path):
    (tmp_path / "file").touch()
    with locked(tmp_path / "file" / "lock") as held:
        assert not held


def test_an_error_within_releases_the_lock_and_is_not_hidden(tmp_path):
    for lock in (locked, try_lock):
        with pytest.raises(OSError, match="of the work"), lock(tmp_path / "lock"):
            raise OSError("of the work")
    with try_lock(tmp_path / "lock") as held:
        assert held
