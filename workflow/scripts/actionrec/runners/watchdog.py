"""End what a job has started when the job is gone, however it went.

A program of its own: `watchdog.py group ID` kills the processes of a group, `watchdog.py containers
ENGINE FILTER` removes containers, which are children of the engine's daemon and outlive a killed
job. Its input is a pipe from the job, whose end says that the job has ended: after a word the
watchdog leaves too, without one it acts first.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

TRIES = 5
SECONDS_BETWEEN_TRIES = 1


@contextmanager
def watching(*arguments: str) -> Iterator[None]:
    """Have a watchdog with these arguments act if this process dies within."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as watchdog:
        try:
            yield
        finally:
            watchdog.stdin.write(b"done")


def kill_group(number: int) -> None:
    """Kill all processes of a group, if there are any."""
    with suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)


def remove_containers(engine: str, wanted: str) -> None:
    """Remove all containers that the filter `wanted` finds, running or not."""
    found = subprocess.run(
        [engine, "ps", "--all", "--quiet", "--no-trunc", "--filter", wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    if ids := found.stdout.split():
        subprocess.run([engine, "rm", "--force", *ids], capture_output=True, check=False)


def main(action: str, *arguments: str) -> None:
    """Wait for the job's end; detached from it, so that what kills its processes misses this."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        os._exit(0)
    os.setsid()
    if sys.stdin.buffer.read():
        return
    if action == "group":
        kill_group(int(arguments[0]))
        return
    for _ in range(TRIES):  # a container may yet appear that was asked for at the last moment
        remove_containers(*arguments)
        time.sleep(SECONDS_BETWEEN_TRIES)


if __name__ == "__main__":
    main(*sys.argv[1:])
