"""Call a function for many items in worker processes that may die: a death costs one item.

A `ProcessPoolExecutor` ends all of its processes when one dies, and cannot tell which item that one
was on. Here each worker has a pipe of its own and answers in order, so the first item that it did
not answer is the one that it died of.
"""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, Generic, TypeVar

from actionrec.utils import malloc
from actionrec.utils.memory import memory_kills

# Imported once, by the server process that workers are forked from, and not by each worker; and so
# is the module of the function that they call.
PRELOADED = ["cv2", "fpng", "isal.isal_zlib", "actionrec.frames.decoder.video"]
AHEAD = 2  # items that a worker has: the next one is there when it has finished one

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """How the process ended that worked on an item; the text follows the item's name."""

    exit_code: int  # negative: the signal
    memory: bool  # whether the kernel ended processes since memory had run out

    @property
    def killed(self) -> bool:
        """Tell whether another process or the kernel ended it, and no fault of its own."""
        return self.exit_code == -signal.SIGKILL

    def __str__(self) -> str:
        if self.exit_code >= 0:
            return f"ended the process that read it (exit code {self.exit_code})"
        name = signal.Signals(-self.exit_code).name
        if not self.killed:
            return f"crashed the process that read it ({name})"
        if self.memory:
            return f"was being read when memory ran out and the kernel ended the process ({name})"
        return f"was being read when its process was killed ({name})"


@dataclass(eq=False)
class _Worker(Generic[Item]):
    process: BaseProcess
    connection: Connection
    items: deque[Item] = field(default_factory=deque)  # given and not yet answered


def call_for_each(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[tuple[Item, Result | Died], None, None]:
    """Yield each item with its result, or with how its process died, as they are finished.

    Raises what the function raises, with the worker's traceback as a note. Closing the generator
    ends the workers at once.
    """
    waiting = deque(items)
    killed_before = memory_kills()
    # Forked from a small server: a plain fork would copy this process's threads' locks, and a
    # spawned process would import everything again.
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, _module(function)])
    running: list[_Worker[Item]] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_started(context, function))
                _feed(running[-1], waiting)
            # A pipe is ready when there is an answer, and when its worker is gone.
            ready = set(wait([worker.connection for worker in running]))
            for worker in [worker for worker in running if worker.connection in ready]:
                try:
                    succeeded, answer = worker.connection.recv()
                except (EOFError, OSError):
                    running.remove(worker)
                    worker.process.join()
                    item, *others = worker.items
                    waiting.extendleft(reversed(others))
                    killed = memory_kills() > killed_before
                    yield item, Died(worker.process.exitcode or 0, killed)
                    continue
                item = worker.items.popleft()
                if not succeeded:
                    raise answer
                _feed(worker, waiting)
                if not worker.items:
                    running.remove(worker)
                    _end(worker)
                yield item, answer
    finally:
        for worker in running:
            worker.process.kill()
            _end(worker)


def _module(function: Callable[..., Any]) -> str:
    """Return the module of a function, or of the one that a `partial` calls."""
    return function.func.__module__ if isinstance(function, partial) else function.__module__


def _started(context: Any, function: Callable[[Item], Any]) -> _Worker[Item]:
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(function, theirs), daemon=True)
    with _no_main_module():
        process.start()
    theirs.close()  # the worker has the only copy, so that the pipe ends with it
    return _Worker(process, ours)


def _feed(worker: _Worker[Item], waiting: deque[Item]) -> None:
    """Give a worker items until it has enough of them waiting."""
    while waiting and len(worker.items) < AHEAD:
        item = waiting.popleft()
        worker.items.append(item)
        try:
            worker.connection.send(item)
        except OSError:  # it has died, which reading from the pipe will tell
            return


def _end(worker: _Worker[Any]) -> None:
    """Close the pipe, which ends the worker, and wait for that."""
    worker.connection.close()
    worker.process.join()


def _work(function: Callable[[Any], Any], connection: Connection) -> None:
    """Answer one item after the other, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    _end_with_parent()
    malloc.keep_freed()
    gc.freeze()  # what was imported stays: not to be looked through again and again
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        try:
            answer = True, function(item)
        except Exception as error:
            error.add_note(f"In a worker process:\n{traceback.format_exc()}")
            answer = False, error
        connection.send(answer)


def _end_with_parent() -> None:
    """End this process when its parent is gone: a parent that was killed cannot end it."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent:
            parent.join()
            os._exit(1)  # at once, whatever the main thread is decoding

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep new workers from running the script of the caller: each would import it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
