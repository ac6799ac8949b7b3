"""Measure what each stage of the data costs for 1,000 videos: CPU seconds, disk and memory.

Videos of HMDB51's kind (MPEG-4 in AVI, 320x240, 95 frames) and of Kinetics' kind (H.264 in MP4,
340x256, 300 frames) go through the stages as the workflow's rules call them, each in a process of
its own that has imported what it needs. The videos are drawn, or cut from footage of your own: from
the largest part of this shape in the middle of its pictures, forwards and then backwards where a
file is short.

    python benchmarks/stages.py
    python benchmarks/stages.py --footage FOLDER --videos 24
"""

import argparse
import itertools
import os
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))

from actionrec.dataset.link_tree import link_split, verify_split  # noqa: E402
from actionrec.dataset.page import write_page  # noqa: E402
from actionrec.dataset.splits import ClassFiles, SplitSettings, make_split  # noqa: E402
from actionrec.dataset.summary import summarise  # noqa: E402
from actionrec.frames.encoders import ImageFormat  # noqa: E402
from actionrec.frames.extraction import extract_class  # noqa: E402
from actionrec.frames.flow import FlowSettings, extract_flow  # noqa: E402
from actionrec.frames.videos import list_videos  # noqa: E402
from actionrec.native.data.datasets import EvalDataset, TrainDataset  # noqa: E402
from actionrec.native.data.frame_memory import FrameMemory  # noqa: E402
from actionrec.native.data.videos import list_labelled_videos  # noqa: E402
from actionrec.sources.folder import link_class  # noqa: E402
from actionrec.spec.load import make_spec  # noqa: E402

CLASSES = ("walk", "run")
SHORT, EPOCHS = 10, 50
DRAW = SplitSettings("fraction", 0.25, "test", 1234)


@dataclass(frozen=True)
class Kind:
    """A dataset's kind of videos."""

    title: str
    suffix: str
    codec: str
    options: dict[str, str]
    width: int
    height: int
    frames: int


KINDS = (
    Kind("HMDB51", "avi", "mpeg4", {"b": "1000k", "g": "250", "bf": "1"}, 320, 240, 95),
    Kind("Kinetics", "mp4", "libx264", {}, 340, 256, 300),
)
# Format, quality and `frames.check`.
STORES = {
    "PNG": ("png", 95, "full"),
    "JPEG 95": ("jpg", 95, "full"),
    "video": ("video", 95, "full"),
    "video, quick": ("video", 95, "quick"),
}


def drawn(kind: Kind, seed: int) -> Iterator[np.ndarray]:
    """Yield pictures with the texture and camera shake of real ones: blurred noise, panned."""
    random = np.random.default_rng(seed)
    scene = random.integers(0, 256, (kind.height + 60, kind.width + 80, 3), np.uint8)
    coarse, fine = (cv2.GaussianBlur(scene, (0, 0), sigma) for sigma in (12, 1))
    scene = cv2.addWeighted(coarse, 6, fine, 0.15, -650)
    for number in itertools.count():
        left, top = 40 + int(39 * np.sin(number / 9)), 30 + int(29 * np.cos(number / 7))
        grain = random.integers(0, 6, (kind.height, kind.width, 3), np.uint8)
        yield scene[top : top + kind.height, left : left + kind.width] + grain


def filmed(kind: Kind, footage: Path) -> Iterator[np.ndarray]:
    """Yield the pictures of a file, forwards and backwards without end, in the kind's size."""
    with av.open(str(footage), metadata_errors="ignore") as source:
        pictures = [
            fitted(frame.to_ndarray(format="bgr24"), kind)
            for frame in itertools.islice(source.decode(video=0), kind.frames)
        ]
    yield from itertools.cycle(pictures + pictures[-2:0:-1])


def fitted(picture: np.ndarray, kind: Kind) -> np.ndarray:
    """Cut the largest part of the kind's shape out of the middle, and resize it."""
    height, width = picture.shape[:2]
    scale = max(kind.width / width, kind.height / height)
    cut = int(kind.height / scale), int(kind.width / scale)
    top, left = (height - cut[0]) // 2, (width - cut[1]) // 2
    part = picture[top : top + cut[0], left : left + cut[1]]
    return cv2.resize(part, (kind.width, kind.height), interpolation=cv2.INTER_AREA)


def encode(kind: Kind, pictures: Iterator[np.ndarray], path: Path) -> None:
    """Write the first pictures as a video of the kind."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(kind.codec, rate=30, options=kind.options)
        stream.width, stream.height, stream.pix_fmt = kind.width, kind.height, "yuv420p"
        for picture in itertools.islice(pictures, kind.frames):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        output.mux(stream.encode(None))


class Dataset:
    """A dataset in a folder, at paths like those of the workflow, with its frames in one store."""

    def __init__(self, root: Path, videos: Path, store: str) -> None:
        self.root, self.source = root, videos
        self.suffix, self.quality, self.check = STORES[store]
        self.videos, self.frames, self.run = (root / name for name in ("videos", "frames", "run"))
        for folder in (self.videos, self.frames, self.run):
            folder.mkdir(parents=True)

    def table(self, kind: str, cls: str) -> Path:
        """Return the path of one of the tables of a class."""
        (self.root / "tables" / kind).mkdir(parents=True, exist_ok=True)
        return self.root / "tables" / kind / f"{cls}.tsv"

    @property
    def files(self) -> ClassFiles:
        """The tables of the frames."""
        return ClassFiles({cls: self.table("frames", cls) for cls in CLASSES})

    def list(self) -> None:
        """List the videos, as rule link_class does."""
        for cls in CLASSES:
            link_class(self.source / cls, self.videos / cls, self.table("videos", cls))

    def extract(self) -> None:
        """Make the frames, as rule extract_frames does."""
        image_format = ImageFormat(self.suffix, "fpng", self.quality)
        for cls in CLASSES:
            tables = self.table("videos", cls), self.table("frames", cls)
            folders = self.videos / cls, self.frames / cls
            extract_class(
                folders[0],
                tables[0],
                folders[1],
                tables[1],
                image_format=image_format,
                check=self.check,
            )

    def flow(self) -> None:
        """Make optical flow, as rule extract_flow does."""
        settings = FlowSettings("dis", "medium", "max_rad")
        for cls in CLASSES:
            tables = self.table("frames", cls), self.table("flow", cls)
            extract_flow(self.frames / cls, *tables, settings)

    def page(self) -> None:
        """Write the summary and the page, as rules summarise_dataset and write_dataset_page do."""
        summary = self.run / "dataset.json"
        summarise(self.files, summary, frames=self.frames, settings=DRAW, official={})
        manifests = self.files.manifests
        page = self.run / "dataset.html"
        write_page("set", summary=summary, manifests=manifests, frames=self.frames, output=page)

    def split(self) -> None:
        """Decide, link and verify a split, as rules make_split and link_split and each task do."""
        table, data = self.run / "split.tsv", self.run / "data"
        make_split(table, self.files, DRAW, 1)
        link_split(table, self.frames, data, "symlink")
        verify_split(table, data)

    def train(self, epochs: int, memory: int, planned: int = EPOCHS) -> None:
        """Read a clip of each video an epoch, as a training does: 3 frames of 224x224."""
        dataset = TrainDataset(self.labelled(), self.spec(planned), FrameMemory(memory))
        clip = {name: np.empty(shape, np.uint8) for name, shape in dataset.shapes((0, 0)).items()}
        for key in itertools.product(range(epochs), range(len(dataset))):
            dataset.write_clip(key, clip)

    def evaluate(self) -> None:
        """Read the clip in the middle of each video, as an evaluation does."""
        dataset = EvalDataset(self.labelled(), self.spec(EPOCHS), FrameMemory(0))
        for key in range(len(dataset)):
            shapes = dataset.shapes(key).items()
            dataset.write_clip(key, {name: np.empty(shape, np.uint8) for name, shape in shapes})

    def labelled(self) -> list:
        """Return all videos with their labels."""
        labels = {cls: number for number, cls in enumerate(CLASSES)}
        for cls in CLASSES:  # without what the rules keep next to the classes
            (self.run / "all").mkdir(exist_ok=True)
            if not (self.run / "all" / cls).exists():
                (self.run / "all" / cls).symlink_to(self.frames / cls)
        return list_labelled_videos(self.run / "all", labels, "benchmark")

    def spec(self, epochs: int):
        """Return the spec of a training of this number of epochs."""
        values = {
            "model": {"input_width": 224, "input_height": 224, "rgb_seq_length": 3},
            "dataset": {"augmentation_config": {"train_crop_type": "no_crop"}},
            "train": {"num_epochs": epochs},
        }
        return make_spec(values, "benchmark")


@dataclass(frozen=True)
class Cost:
    """CPU seconds, bytes that were written, and the peak of the process's memory in MB."""

    seconds: float
    written: int
    megabytes: float


def measure(step: Callable[[], None], folder: Path) -> Cost:
    """Run a step in a process of its own; return its cost, with what it adds to a folder."""
    before = size_of(folder)
    child = os.fork()
    if not child:
        code = 1
        try:
            step()
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit("a step failed: see above")
    return Cost(usage.ru_utime + usage.ru_stime, size_of(folder) - before, usage.ru_maxrss / 1024)


def size_of(folder: Path) -> int:
    """Return the bytes that a folder takes on disk."""
    return sum(512 * path.lstat().st_blocks for path in folder.rglob("*"))


def costs(kind: Kind, videos: Path, folder: Path) -> dict[str, Cost]:
    """Return what each stage costs for a folder of videos of a kind."""
    found = {}
    for store in STORES:
        dataset = Dataset(folder / f"{kind.title} {store}", videos, store)

        def add(stage: str, step: Callable[[], None], root: Path = dataset.root) -> None:
            found[stage] = measure(step, root)

        if not found:
            add("list the videos", dataset.list)
        else:
            dataset.list()
        add(f"frames, {store}", dataset.extract)
        if store == "PNG":
            add("flow of PNG frames, DIS", dataset.flow)
            add("summary and page", dataset.page)
            add("split, links, check", dataset.split)
        add(f"first epoch, frames kept, {store}", partial(dataset.train, 1, 2**40))
        for epochs in SHORT, EPOCHS:
            train = partial(dataset.train, epochs, 2**40, epochs)
            add(f"{epochs} epochs, frames kept, {store}", train)
        add(f"an epoch, none kept, {store}", partial(dataset.train, 1, 0))
        add(f"evaluation, {store}", dataset.evaluate)
    return found


def report(kind: Kind, videos: Path, found: dict[str, Cost], count: int) -> None:
    """Print a Markdown table of the costs of 1,000 videos."""
    size = size_of(videos)
    print(f"\n{kind.title}: {size / count / kind.frames:.0f} bytes a frame of the videos\n")
    print("| stage, 1,000 videos | CPU seconds | MB of disk | MB of memory |")
    print(f"| --- | --- | --- | --- |\n| the videos | | {size / 1e3 / count:,.0f} | |")
    for stage, cost in found.items():
        cells = (cost.seconds * 1000 / count, cost.written / 1e3 / count, cost.megabytes)
        print(f"| {stage} | {cells[0]:,.1f} | {cells[1]:,.1f} | {cells[2]:.0f} |", flush=True)


def make_videos(kind: Kind, folder: Path, options: argparse.Namespace) -> Path:
    """Write the videos, half of them in each class."""
    footage = list(filter(None, map(list_videos, options.footage or [])))
    files = itertools.cycle(itertools.chain.from_iterable(footage))
    for number in range(options.videos):
        target = folder / CLASSES[number % 2] / f"source{number}_clip.{kind.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        encode(kind, filmed(kind, next(files)) if footage else drawn(kind, number), target)
    return folder


def main() -> None:
    """Parse the command line, measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--footage", type=Path, nargs="+", help="folders of videos to cut from")
    parser.add_argument("--videos", type=int, default=48)
    parser.add_argument("--kinds", nargs="+", default=[kind.title for kind in KINDS])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind in KINDS:
        if kind.title in options.kinds:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                videos = make_videos(kind, folder / "source", options)
                report(kind, videos, costs(kind, videos, folder), options.videos)


if __name__ == "__main__":
    main()
