"""Measure what many videos cost from the listing to the split: time, memory, open files.

Two classes of 20,000 videos and 500 classes of 40, each next to a quarter of it, so that what grows
faster than the number of videos shows. The videos are empty files and their frames one image each:
nothing is decoded. Each step is a process of its own, which may open 64 files at a time.

    python benchmarks/listing.py
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow/scripts"))

from actionrec.dataset.link_tree import link_split, verify_split  # noqa: E402
from actionrec.dataset.splits import ClassFiles, SplitSettings, make_split  # noqa: E402
from actionrec.frames.manifest import FrameRecord, write_manifest  # noqa: E402
from actionrec.frames.staleness import stale_frames  # noqa: E402
from actionrec.sources.folder import link_class  # noqa: E402

OPEN_FILES = 64
SETTINGS = SplitSettings("fraction", 0.3, 0.2, 1234)


@dataclass(frozen=True)
class Cost:
    """What a step took: seconds, and the memory of its process in MB."""

    seconds: float
    megabytes: float


class Dataset:
    """The files of a dataset in the working folder, at the paths that the workflow uses."""

    def __init__(self, classes: int, videos: int) -> None:
        self.classes = [f"class{number:03d}" for number in range(classes)]
        self.videos = videos
        self.tables = Path("results/many/tables")
        self.frames = Path("resources/many/frames")
        self.run = Path("results/many/experiments/one/split1")

    def create(self) -> None:
        """Make empty videos."""
        for cls in self.classes:
            Path("videos", cls).mkdir(parents=True)
            for number in range(self.videos):
                Path("videos", cls, f"film{number // 4}_clip_{number:05d}.avi").touch()

    def list(self) -> None:
        """List the videos, as rule link_class does."""
        for cls in self.classes:
            link = Path("resources/many/videos", cls)
            link_class(Path("videos", cls), link, self.table("videos", cls))

    def pretend_frames(self) -> None:
        """Write the frames that a decoder would, one each, and their tables."""
        for cls in self.classes:
            names = sorted(path.stem for path in Path("videos", cls).iterdir())
            for name in names:
                (self.frames / cls / name / "rgb").mkdir(parents=True)
                (self.frames / cls / name / "rgb/000001.png").touch()
            table = self.table("frames", cls)
            table.parent.mkdir(parents=True, exist_ok=True)
            write_manifest(table, [_record(cls, name) for name in names])

    def compare(self) -> None:
        """Compare tables and trees, as each plan does."""
        for cls in self.classes:
            videos, frames = (Path("resources/many", kind, cls) for kind in ("videos", "frames"))
            tables = self.table("videos", cls), self.table("frames", cls)
            assert not stale_frames(videos, tables[0], frames, [tables[1]])

    def split(self) -> None:
        """Decide the split, as rule make_split does."""
        files = ClassFiles({cls: self.table("frames", cls) for cls in self.classes})
        self.run.mkdir(parents=True)
        make_split(self.run / "split.tsv", files, SETTINGS, 1)

    def link(self) -> None:
        """Make the tree of links, as rule link_split does."""
        link_split(self.run / "split.tsv", self.frames, self.run / "data", "symlink")

    def verify(self) -> None:
        """Compare the tree with the split, as each task does."""
        verify_split(self.run / "split.tsv", self.run / "data")

    def table(self, kind: str, cls: str) -> Path:
        """Return the path of one of the tables of a class."""
        return self.tables / kind / f"{cls}.tsv"


def _record(cls: str, video: str) -> FrameRecord:
    measures = {"frames": 1, "width": 320, "height": 240, "fps": 30.0, "bytes": 0}
    texts = {"sha256": "0" * 64, "suffix": "png", "format": "png", "status": "ok", "reason": ""}
    return FrameRecord(
        video=video, file=f"{video}.avi", content=f"{cls}/{video}", **measures, **texts
    )


def measure(step: Callable[[], None]) -> Cost:
    """Run a step in a process of its own that may open few files; return its cost."""
    began = time.monotonic()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
        code = 1
        try:
            step()
            code = 0
        finally:
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"{step.__name__} failed")
    return Cost(time.monotonic() - began, usage.ru_maxrss / 1024)


def costs(classes: int, videos: int) -> dict[str, Cost]:
    """Return what each step costs for so many classes of so many videos each."""
    dataset = Dataset(classes, videos)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            dataset.create()
            listed = {"list the videos": measure(dataset.list)}
            dataset.pretend_frames()
            rest = {
                "compare tables and trees": dataset.compare,
                "decide the split": dataset.split,
                "link the split": dataset.link,
                "verify the split": dataset.verify,
            }
            return listed | {name: measure(step) for name, step in rest.items()}
        finally:
            os.chdir(before)


def main() -> None:
    """Parse the command line, measure and print a Markdown table for each shape."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--videos", type=int, default=20_000, help="of one class, or of 500 together"
    )
    videos = parser.parse_args().videos
    for many, few in (
        ((2, videos), (2, videos // 4)),
        ((500, videos // 500), (125, videos // 500)),
    ):
        large, small = costs(*many), costs(*few)
        print(f"\n| {many[0]} classes of {many[1]} videos | s | MB | a quarter of it, s | MB |")
        print("| --- | --- | --- | --- | --- |")
        for step, cost in large.items():
            other = small[step]
            cells = (cost.seconds, cost.megabytes, other.seconds, other.megabytes)
            print(f"| {step} | {cells[0]:.2f} | {cells[1]:.0f} | {cells[2]:.2f} | {cells[3]:.0f} |")


if __name__ == "__main__":
    main()
