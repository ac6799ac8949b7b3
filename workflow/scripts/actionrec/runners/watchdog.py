"""Remove a task's containers when the job that started them is gone, however it went.

A program of its own: `watchdog.py ENGINE FILTER`, with a pipe from the job as its input. A
container is a child of the engine's daemon and outlives a killed job. The end of the pipe says that
the job has ended: after a word the watchdog leaves too, without one it cleans up first.
"""

import os
import signal
import subprocess
import sys
import time

TRIES = 5
SECONDS_BETWEEN_TRIES = 1


def remove(engine: str, wanted: str) -> bool:
    """Remove the containers that the filter `wanted` finds; tell whether that went well."""
    found = subprocess.run(
        [engine, "ps", "--all", "--quiet", "--no-trunc", "--filter", wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    ids = found.stdout.split()
    if not ids:
        return found.returncode == 0
    done = subprocess.run([engine, "rm", "--force", *ids], capture_output=True, check=False)
    return done.returncode == 0


def main(engine: str, wanted: str) -> None:
    """Wait for the job's end; detached from it, so that what kills its processes misses this."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        os._exit(0)
    os.setsid()
    if not sys.stdin.buffer.read():
        for _ in range(TRIES):  # a container may yet appear that was asked for at the last moment
            remove(engine, wanted)
            time.sleep(SECONDS_BETWEEN_TRIES)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
