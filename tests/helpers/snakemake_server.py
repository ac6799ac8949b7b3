"""A process that has imported Snakemake, and forks a run of its command whenever it is asked to.

Snakemake takes longer to be imported than to make most plans of the tests. A forked run is what
`python -m snakemake` is: a process with a folder, an environment, arguments and an output of its
own, which has imported nothing of the package and ends as the interpreter ends.
"""

import gc
import json
import os
import runpy
import select
import subprocess
import sys
from functools import cache
from pathlib import Path

import psutil


def run_snakemake(folder: Path, options: tuple[str, ...], output: Path, seconds: float) -> int:
    """Run Snakemake in a folder, all it says written to `output`; return its exit code."""
    # What the interpreter read when it started: a run with other settings needs another one.
    settings = frozenset(item for item in os.environ.items() if item[0].startswith("PYTHON"))
    return server_with(settings).run(folder, options, output, seconds)


@cache
def server_with(settings: frozenset[tuple[str, str]]) -> "Server":
    """Return the server that was started with these variables, which are the environment's."""
    return Server()


class Server:
    """Starts the process, which ends when its standard input does."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # No thread may run where a process is forked.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            text=True,
        )

    def run(self, folder: Path, options: tuple[str, ...], output: Path, seconds: float) -> int:
        """Fork a run; end with it."""
        request = [str(folder), options, dict(os.environ), str(output)]
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.close()
            server_with.cache_clear()
            raise subprocess.TimeoutExpired(["snakemake", *options], seconds, output.read_text())
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the process and the run that it waits for."""
        for process in [*psutil.Process(self.process.pid).children(), self.process]:
            process.kill()
        self.process.wait()


def serve() -> None:
    """Answer requests until there are no more; return in a forked process only, to be the run."""
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            return become(*json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    sys.exit()


def become(folder: str, options: list[str], environment: dict[str, str], output: str) -> None:
    """Make this process what a shell would start."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for source, descriptors in ((os.devnull, [0]), (output, [1, 2])):
        opened = os.open(source, os.O_RDWR | os.O_APPEND)
        for descriptor in descriptors:
            os.dup2(opened, descriptor)
        os.close(opened)
    sys.path.insert(0, folder)
    sys.argv[1:] = options


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file
    import nbformat  # noqa: F401 - what a plan imports later
    import omegaconf  # noqa: F401
    import smart_open  # noqa: F401
    import snakemake.cli

    snakemake.cli.get_argument_parser()  # finds the plugins
    gc.freeze()  # the pages of what is imported stay shared
    serve()
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
