"""Kill what a job has started when the job has died, in any way.

A program of its own: `watchdog.py group ID` kills the processes of a group, `watchdog.py containers
ENGINE FILTER` removes containers, which are children of the engine's daemon and outlive a killed
job. Its stdin is a pipe from the job. The pipe's end means that the job has ended: if the job wrote
a word into it first, the watchdog exits too; if not, the job was killed and the watchdog acts.
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
        # Isolated and without site packages: it starts in a moment and needs nothing but this file.
        [sys.executable, "-I", "-S", __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as watchdog:
        try:
            yield
        finally:
            # A word and the end of the pipe; it cannot be waited for, as it has detached itself.
            watchdog.communicate(b"done")


def kill_group(number: int) -> None:
    """Kill all processes of a group, if there are any."""
    with suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)


def remove_containers(engine: str, selector: str) -> None:
    """Remove all containers that the engine's filter `selector` finds, running or not."""
    found = subprocess.run(
        [engine, "ps", "--all", "--quiet", "--no-trunc", "--filter", selector],
        capture_output=True,
        text=True,
        check=False,
    )
    if ids := found.stdout.split():
        subprocess.run([engine, "rm", "--force", *ids], capture_output=True, check=False)


def main(action: str, *arguments: str) -> None:
    """Wait for the job's end, then act unless the job said that it is done."""
    # A scheduler that cancels a job signals all its processes, and Ctrl-C reaches the whole group
    # of the terminal: the watchdog must survive both.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The child goes on in a session of its own, so that what kills the job's session misses it.
    if os.fork():
        os._exit(0)
    os.setsid()
    if sys.stdin.buffer.read():  # blocks until the job's end of the pipe is closed
        return
    if action == "group":
        kill_group(int(arguments[0]))
        return
    # The daemon may still be starting a container that the job asked for in its last moment.
    for _ in range(TRIES):
        remove_containers(*arguments)
        time.sleep(SECONDS_BETWEEN_TRIES)


if __name__ == "__main__":
    main(*sys.argv[1:])
