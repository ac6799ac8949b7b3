"""Hold the folder of a class's images, so that jobs which would write the same videos take turns.

These are jobs of two runs at once, of projects that share the folder, or of a job that has outlived
its Snakemake. Jobs of several chunks of one division work side by side; another division, even
one of other chunks, waits for all jobs that it shares videos with. Whatever a job writes, table and
images, it writes while it holds its chunk.

Locks of several granularities do this: of each chunk that was ever made there is a lock file. A job
holds that of its own chunk alone, and those of the larger chunks around it, up to the class,
together with others.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from actionrec.utils.chunks import WHOLE, Chunk
from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.locks import locked, try_lock


@dataclass(frozen=True)
class ClassFolder:
    """The real `folder` of a class, of which a job holds a `chunk`.

    Work in progress is in `work_folder` next to it, since TAO takes whatever it finds inside the
    class's for data. That outlasts the job: journals and locks are in it. `part` in that is an
    empty folder for this job.
    """

    folder: Path
    work_folder: Path
    part: Path
    chunk: Chunk


@contextmanager
def hold(frames: Path, chunk: Chunk = WHOLE) -> Iterator[ClassFolder]:
    """Hold a chunk of the folder of a class, waiting for jobs that hold videos of it.

    What killed jobs left of work in progress is removed. Raises `InputError` for errors of the
    disk, within too.
    """
    with explained_disk_errors(frames), ExitStack() as stack:
        frames.mkdir(parents=True, exist_ok=True)
        folder = frames.resolve()  # a link to a bigger disk: renames must stay on that disk
        work_folder = folder.with_name(f".{folder.name}")
        work_folder.mkdir(exist_ok=True)
        # From the whole class inwards in every job: none waits for one that waits for it.
        if all([stack.enter_context(lock) for lock in _locks(folder, work_folder, chunk)]):
            _remove_abandoned(work_folder, chunk)
        part = tempfile.TemporaryDirectory(
            prefix=f"part{_suffix(chunk)}-", dir=work_folder, ignore_cleanup_errors=True
        )
        yield ClassFolder(folder, work_folder, Path(stack.enter_context(part)), chunk)


def _locks(folder: Path, work_folder: Path, chunk: Chunk) -> list[AbstractContextManager[bool]]:
    busy = f"Another job is making images in {folder}"
    around = [locked(_lock(work_folder, other), busy, shared=True) for other in chunk.enclosing]
    return [*around, locked(_lock(work_folder, chunk), busy)]


def _lock(work_folder: Path, chunk: Chunk) -> Path:
    return work_folder / f"lock{_suffix(chunk)}"


def _suffix(chunk: Chunk) -> str:
    return "" if chunk == WHOLE else f"-{chunk}"


def _remove_abandoned(work_folder: Path, chunk: Chunk) -> None:
    """Remove what killed jobs left, of other chunks too: there may be none of these any more."""
    ours = {_suffix(other) for other in (*chunk.enclosing, chunk)}  # nobody else works in them
    for lock in work_folder.glob("lock*"):
        suffix = lock.name.removeprefix("lock")
        if left := list(work_folder.glob(f"part{suffix}-????????")):
            # Another user's lock may be one that we cannot even look at.
            with (
                suppress(OSError),
                nullcontext(True) if suffix in ours else try_lock(lock) as ended,
            ):
                for part in left if ended else ():
                    shutil.rmtree(part, ignore_errors=True)
