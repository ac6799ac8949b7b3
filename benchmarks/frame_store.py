"""Measure what frames cost that stay in their videos, against the tree of PNG files.

The same generated videos, 320x240, as HMDB51's (MPEG-4 in AVI) and as most others (H.264 in MP4),
go to both stores, to the video store by both checks. Measured are the CPU seconds and the disk of
the frames, then the CPU seconds in which the engine reads the clips of epochs at 224x224, without a
network: the first epoch, what workers then decode ahead, and a later epoch, with memory for all
frames, with a file on disk for them, and with neither. One process does it, by turns.

    python benchmarks/frame_store.py
    python benchmarks/frame_store.py --frames 32 --videos 20
"""

import argparse
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))

from frames import draw_videos  # noqa: E402
from spread import spread  # noqa: E402

from actionrec.frames.encoders import ImageFormat  # noqa: E402
from actionrec.frames.extraction import extract_class  # noqa: E402
from actionrec.frames.videos import list_videos, write_files_table  # noqa: E402
from actionrec.native.data.datasets import TrainDataset  # noqa: E402
from actionrec.native.data.frame_memory import FrameDisk, FrameMemory  # noqa: E402
from actionrec.native.data.videos import list_labelled_videos  # noqa: E402
from actionrec.spec.load import make_spec  # noqa: E402

STORES = {
    "PNG files": ("png", "full"),
    "video": ("video", "full"),
    "video, quick check": ("video", "quick"),
}
KEPT = ("kept in memory", "kept on disk", "decoded each time")
PARTS = ("first epoch", "read ahead", "later epoch")


def to_h264(videos: Path, folder: Path) -> Path:
    """Encode videos again, as x264 does by default."""
    import av

    folder.mkdir(parents=True)
    for path in list_videos(videos):
        target = folder / f"{path.stem}.mp4"
        with av.open(str(path)) as source, av.open(str(target), "w") as output:
            stream = output.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for frame in source.decode(video=0):
                frame.pts = None
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return folder


def extract(videos: Path, root: Path, store: str, check: str = "full") -> tuple[float, int]:
    """Return the CPU seconds in which videos became frames below `root`, and the bytes on disk."""
    table = root / "videos.tsv"
    root.mkdir(parents=True)
    write_files_table(table, list_videos(videos))
    frames = root / "work" / "walk"
    start = time.process_time()
    image_format = ImageFormat(store, "fpng", 95)
    manifest = root / "frames.tsv"
    extract_class(videos, table, frames, manifest, image_format=image_format, check=check)
    seconds = time.process_time() - start
    (root / "data").mkdir()
    (root / "data" / "walk").symlink_to(frames)
    size = sum(512 * path.stat().st_blocks for path in frames.rglob("*") if path.is_file())
    return seconds, size


def memory_for(kept: str, folder: Path) -> FrameMemory:
    """Return the memory for frames, and on disk the file for them in `folder`."""
    if kept == "kept on disk":
        return FrameMemory(0, FrameDisk(folder))
    return FrameMemory(2**40 if kept == "kept in memory" else 0)


def epochs(data: Path, length: int, memory: FrameMemory) -> tuple[float, float, float]:
    """Return the CPU seconds of a first epoch of clips, of reading ahead, and of a later epoch."""
    values = {
        "model": {"input_width": 224, "input_height": 224, "rgb_seq_length": length},
        "dataset": {"clips_per_video": 4, "augmentation_config": {"train_crop_type": "no_crop"}},
        "train": {"num_epochs": 50},
    }
    spec = make_spec(values, "benchmark")
    videos = list_labelled_videos(data, {"walk": 0}, "benchmark")
    dataset = TrainDataset(videos, spec, memory)
    clip = {name: np.empty(shape, np.uint8) for name, shape in dataset.shapes((0, 0)).items()}
    marks = [time.process_time()]
    for epoch in range(2):
        for key in range(len(dataset)):
            dataset.write_clip((epoch, key), clip)
        marks.append(time.process_time())
        while dataset.read_ahead():
            pass
        marks.append(time.process_time())
    first, ahead, later, _ = (end - start for start, end in pairwise(marks))
    return first, ahead, later


def measure(name: str, videos: Path, folder: Path, options: argparse.Namespace) -> None:
    """Measure both stores of some videos, and print their rows."""
    spent: dict[str, list[float]] = {store: [] for store in STORES}
    sizes, read = {}, {}
    for repeat in range(options.repeats):
        for store, (suffix, check) in STORES.items():
            root = folder / f"{name} {suffix} {check} {repeat}"
            seconds, sizes[store] = extract(videos, root, suffix, check)
            spent[store].append(seconds)
            for kept in KEPT:
                parts = epochs(root / "data", options.frames, memory_for(kept, root))
                read.setdefault((store, kept), []).append(parts)
    size = sum(path.stat().st_size for path in videos.iterdir())
    for store in STORES:
        cells = [f"{name}, {store}", f"{(size + sizes[store]) / 1e6:.1f}", spread(spent[store])]
        for kept in KEPT:
            cells += map(spread, zip(*read[store, kept], strict=True))
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Parse the command line, measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--length", type=int, default=95, help="frames of a video")
    parser.add_argument("--frames", type=int, default=3, help="frames of a clip")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw_videos(folder / "avi", options.videos, options.length)
        to_h264(folder / "avi", folder / "mp4")
        columns = ["videos and store", "videos and frames, MB", "frames made, s"]
        columns += [f"{epoch}, {kept}, s" for kept in KEPT for epoch in PARTS]
        print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
        measure("MPEG-4", folder / "avi", folder, options)
        measure("H.264", folder / "mp4", folder, options)


if __name__ == "__main__":
    main()
