"""Load: jobs that share files, workers that die or hang, and too little of what a machine has."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np

from actionrec.frames.extraction import extract_class
from actionrec.native.data import reading, workers
from actionrec.native.data.batch import ClipInfo
from actionrec.native.data.dataloader import DataLoader
from actionrec.sources import archives
from actionrec.sources.folder import link_class
from actionrec.utils import files
from faults import table
from faults.table import Fault, Scene
from helpers import PNG, REPOSITORY, write_video
from helpers.engine import environment

AREA = "load"
NOTHING_NEW = "has read nothing new for"

HOLD = """
import sys
from pathlib import Path
from actionrec.utils.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


class Shared(Scene):
    """A class whose frames two projects make in one folder."""

    def prepare(self) -> None:
        self.videos, self.rows = self.folder / "videos/walk", self.folder / "videos.tsv"
        for name in "abc":
            write_video(self.videos / f"{name}.avi", 4)
        link_class(self.videos, self.folder / "links/walk", self.rows)
        self.lock = self.folder / "frames/.walk/lock"
        self.part = self.folder / "frames/.walk/part-another1"
        self.holder: subprocess.Popen | None = None

    def act(self) -> str:
        ending = threading.Timer(1.5, self.release)
        ending.start()
        frames, rows = self.folder / "frames/walk", self.folder / "frames.tsv"
        said = self.said(extract_class, self.videos, self.rows, frames, rows, image_format=PNG)
        ending.join()
        return f"{said}\nframes of {len(list(frames.glob('*/rgb')))} videos"

    def hold(self) -> None:
        """Let another process hold the lock, with work in progress."""
        self.part.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-c", HOLD, str(self.lock)]
        self.holder = subprocess.Popen(
            command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.holder.stdout.readline() == b"held\n"

    def release(self) -> None:
        """Let the other process end; its work must still be there until then."""
        if self.holder:
            assert self.part.exists()
            self.part.rmdir()
            self.holder.communicate(b"\n")


class SharedArchive(Shared):
    """A class that two projects unpack to one folder."""

    def prepare(self) -> None:
        from faults.test_archives import VIDEO, tar

        self.archive = self.folder / "set.tar"
        self.archive.write_bytes(tar({f"walk/{name}.avi": VIDEO for name in "abc"}))
        self.lock = self.folder / "videos/.walk.lock"
        self.part = self.folder / "videos/.walk.unpack-another1"
        self.holder = None

    def act(self) -> str:
        ending = threading.Timer(1.5, self.release)
        ending.start()
        videos, rows = self.folder / "videos/walk", self.folder / "videos.tsv"
        said = self.said(archives.unpack_class, self.archive, "walk", videos, rows)
        ending.join()
        return f"{said}\nvideos {len(list(videos.iterdir()))}"


class Loading(Scene):
    """A loader of two processes, which reads clips of a file each."""

    def prepare(self) -> None:
        self.slow = lambda key: None
        self.timeout = 2.0
        self.monkeypatch.setattr(workers, "SECONDS_BETWEEN_LOOKS", 0.25)
        self.monkeypatch.setattr(workers, "SECONDS_TO_WARNING", 1.0)

    def shapes(self, key: int):
        return {"rgb": (1, 1, 1, 3)}

    def read_ahead(self) -> bool:
        return False

    def video_of(self, key: int) -> int:
        return key

    def write_clip(self, key: int, streams: dict[str, np.ndarray]) -> ClipInfo:
        reading.note(self.folder / f"{key}.png")
        self.slow(key)
        return ClipInfo(0, False, key)

    def act(self) -> str:
        batches = [[number, number + 1] for number in range(0, 12, 2)]
        loader = DataLoader(self, batches, batches[0], 2, self.timeout)
        found: list[int] = []
        said = self.said(lambda: found.extend(len(batch) for batch in loader))
        return f"{said}\n{sum(found)} clips"


def hang_at(clip: int, seconds: float = 600.0):
    def inject(scene: Loading) -> None:
        scene.slow = lambda key: time.sleep(seconds) if key == clip else None

    return inject


def stop_at(clip: int):
    def inject(scene: Loading) -> None:
        scene.slow = lambda key: os.kill(os.getpid(), signal.SIGSTOP) if key == clip else None

    return inject


def kill_at(clip: int):
    def inject(scene: Loading) -> None:
        scene.slow = lambda key: os.kill(os.getpid(), signal.SIGKILL) if key == clip else None

    return inject


def slow_but_alive(scene: Loading) -> None:
    """Read several files slowly: each takes less than the limit, a batch more."""

    def read(key: int) -> None:
        for part in range(6 if key == 4 else 0):
            time.sleep(0.5)
            reading.note(scene.folder / f"{key}-{part}.png")

    scene.slow = read


class Writing(Scene):
    """A file of the workflow that is replaced."""

    def prepare(self) -> None:
        self.target = self.folder / "table.tsv"
        files.write_text(self.target, "old")

    def act(self) -> str:
        return self.said(files.write_text, self.target, "new" * 1_000_000)


def small_disk(scene: Writing) -> None:
    scene.target = scene.request.getfixturevalue("mount_disk")("size=1m") / "table.tsv"
    files.write_text(scene.target, "old")


class FewFiles(Scene):
    """Frames that are made by a process which may open few files."""

    def prepare(self) -> None:
        self.limit = 64
        for name in "abcdefgh":
            write_video(self.folder / f"videos/walk/{name}.avi", 30)
        link_class(self.folder / "videos/walk", self.folder / "links/walk", self.folder / "v.tsv")

    def act(self) -> str:
        code = (
            "import sys; from pathlib import Path; "
            "from actionrec.frames.extraction import extract_class; from helpers import PNG; "
            "f = Path(sys.argv[1]); "
            "extract_class(f/'videos/walk', f/'v.tsv', f/'frames/walk', f/'f.tsv', "
            "image_format=PNG, workers=2); print('done')"
        )
        env = environment()
        env["PYTHONPATH"] += f":{REPOSITORY / 'tests'}"
        done = subprocess.run(
            [sys.executable, "-c", code, str(self.folder)],
            env=env,
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.limit, self.limit)),
        )
        return done.stdout + done.stderr


FAULTS = [
    Fault(
        "two projects make the frames of one class",
        "another process holds the lock for a while",
        Shared,
        Shared.hold,
        ("Another job is making images", "waiting for it to end", "frames of 3 videos"),
        "what the other process is making",
    ),
    Fault(
        "two projects unpack one class",
        "another process holds the lock for a while",
        SharedArchive,
        Shared.hold,
        ("Another job is unpacking", "waiting for it to end", "videos 3"),
        "what the other process is unpacking",
    ),
    Fault(
        "a loader process that hangs",
        "it sleeps, as on a dead network drive",
        Loading,
        hang_at(6),
        (NOTHING_NEW, "6.png", "native.loader_timeout"),
    ),
    Fault(
        "a loader process that is stopped",
        "SIGSTOP",
        Loading,
        stop_at(3),
        (NOTHING_NEW, "3.png", "native.loader_timeout"),
    ),
    Fault(
        "a loader process that hangs for a while",
        "longer than the warning waits, shorter than the limit",
        Loading,
        hang_at(6, seconds=1.6),
        (NOTHING_NEW, "6.png", "12 clips"),
        "all clips",
    ),
    Fault(
        "a loader process on a slow drive",
        "a batch takes longer than the limit, a file does not",
        Loading,
        slow_but_alive,
        "12 clips",
        "all clips",
    ),
    Fault(
        "a loader process that is killed",
        "SIGKILL, as without memory",
        Loading,
        kill_at(5),
        ("A process that reads frames has ended", "SIGKILL", "fewer workers"),
    ),
    Fault(
        "a disk that is full while a table is written",
        "a memory disk of 1 MiB",
        Writing,
        small_disk,
        ("The disk is full", "MiB free"),
        "the table that was there",
    ),
    Fault(
        "few files may be open",
        "a limit of 64",
        FewFiles,
        lambda scene: None,
        "done",
        "all frames",
    ),
]

test_fault = table.test_of(FAULTS)
