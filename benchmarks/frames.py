"""Measure how fast a class's videos become frames, against one Python process for each video.

The peer is the way of NVIDIA's public recipe for HMDB51: for each video a new Python that writes
what OpenCV decodes with OpenCV's default PNG settings. All ways run in turn, as processes of their
own, start-up included, and write to the same disk, which needs 0.3 MB a frame and repeat. The
default is a class of HMDB51's size. The peer and OpenCV's PNG, which take far longer, get every
third of its videos; frames a second are compared.

    python benchmarks/frames.py                        # generated videos, 320x240
    python benchmarks/frames.py --share 1              # all videos for all ways
    python benchmarks/frames.py --videos FOLDER        # your own
    python benchmarks/frames.py --work /dev/shm        # without the disk
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from spread import spread

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))

from actionrec.frames.videos import list_videos, write_files_table  # noqa: E402

OURS = """
import sys
from pathlib import Path
from actionrec.frames.encoders import ImageFormat
from actionrec.frames.extraction import extract_class
videos, table, frames, manifest = map(Path, sys.argv[1:5])
fmt, encoder, workers = sys.argv[5:]
image_format = ImageFormat(fmt, encoder, 95)
extract_class(videos, table, frames, manifest, image_format=image_format, workers=int(workers))
"""

PEER = """
import sys, cv2
capture, number = cv2.VideoCapture(sys.argv[1]), 0
while True:
    ok, frame = capture.read()
    if not ok:
        break
    number += 1
    cv2.imwrite(f"{sys.argv[2]}/{number:06d}.png", frame)
"""

# Format, encoder, workers.
WAYS = {
    "PNG by OpenCV, 2 workers": ("png", "cv2", 2),
    "PNG by fpng, 1 worker": ("png", "fpng", 1),
    "PNG by fpng, 2 workers": ("png", "fpng", 2),
    "JPEG, quality 95, 1 worker": ("jpg", "cv2", 1),
    "JPEG, quality 95, 2 workers": ("jpg", "cv2", 2),
}


def draw_videos(folder: Path, count: int, frames: int) -> None:
    """Write videos with the texture and camera shake of real ones: blurred noise, panned."""
    random = np.random.default_rng(51)
    folder.mkdir(parents=True)
    for index in range(count):
        scene = random.integers(0, 256, (300, 400, 3), np.uint8)
        scene = cv2.addWeighted(
            cv2.GaussianBlur(scene, (0, 0), 12), 6, cv2.GaussianBlur(scene, (0, 0), 1), 0.15, -650
        )
        path = str(folder / f"video_{index:03d}.avi")
        writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"XVID"), 30, (320, 240))
        for number in range(frames):
            left, top = 40 + int(39 * np.sin(number / 9)), 30 + int(29 * np.cos(number / 7))
            grain = random.integers(0, 6, (240, 320, 3), np.uint8)
            writer.write(scene[top : top + 240, left : left + 320] + grain)
        writer.release()


def by_peer(videos: Path, work: Path) -> None:
    """Extract one video after the other, each in a new Python."""
    for video in list_videos(videos):
        folder = work / "frames/videos" / video.stem / "rgb"
        folder.mkdir(parents=True)
        subprocess.run([sys.executable, "-c", PEER, str(video), str(folder)], check=True)


def by_us(videos: Path, work: Path, fmt: str, encoder: str, workers: int) -> None:
    """Extract the class as its rule does."""
    table = work / "videos.tsv"
    write_files_table(table, list_videos(videos))
    paths = [videos, table, work / "frames/videos", work / "manifest.tsv"]
    subprocess.run(
        [sys.executable, "-c", OURS, *map(str, [*paths, fmt, encoder, workers])],
        check=True,
        env={"PYTHONPATH": str(SCRIPTS)},
    )


def timed(videos: Path, folder: Path, extract, *arguments) -> tuple[float, int, int]:
    """Return seconds, frames and bytes of one extraction into a new folder of `folder`.

    It stays to the end: on ext4, files made soon after as many others were deleted take several
    times as long to create, which would count against whoever writes fastest.
    """
    work = Path(tempfile.mkdtemp(dir=folder))
    os.sync()  # what the run before has left to write is not this one's
    start = time.perf_counter()
    extract(videos, work, *arguments)
    seconds = time.perf_counter() - start
    sizes = [path.stat().st_size for path in work.glob("frames/videos/*/rgb/*")]
    return seconds, len(sizes), sum(sizes)


def measure(
    videos: Path, some: Path, folder: Path, repeats: int
) -> dict[str, list[tuple[float, int, int]]]:
    """Run all ways `repeats` times in turn, so that other load meets them all alike."""
    runs: dict[str, list[tuple[float, int, int]]] = {}
    for _ in range(repeats):
        runs.setdefault("a Python process for each video, PNG by OpenCV (peer)", []).append(
            timed(some, folder, by_peer)
        )
        for title, (fmt, encoder, workers) in WAYS.items():
            given = some if (fmt, encoder) == ("png", "cv2") else videos
            runs.setdefault(title, []).append(timed(given, folder, by_us, fmt, encoder, workers))
    return runs


def link_share(videos: Path, folder: Path, share: int) -> Path:
    """Return a folder with links to every `share`-th video."""
    folder.mkdir()
    for video in list_videos(videos)[::share]:
        (folder / video.name).symlink_to(video)
    return folder


def report(runs: dict[str, list[tuple[float, int, int]]]) -> None:
    """Print a Markdown table; a ratio is the median of those within each repeat."""
    peer = [frames / seconds for seconds, frames, _ in next(iter(runs.values()))]
    print("| way | frames | median s (min-max) | frames/s | times the peer | bytes a frame |")
    print("| --- | --- | --- | --- | --- | --- |")
    for title, results in runs.items():
        seconds = [result[0] for result in results]
        _, frames, size = results[0]
        ratios = [frames / ours / theirs for theirs, ours in zip(peer, seconds, strict=True)]
        print(
            f"| {title} | {frames} | {spread(seconds)} | {frames / statistics.median(seconds):.0f} "
            f"| {spread(ratios, '.1f')} "
            f"| {size // frames} |"
        )


def main() -> None:
    """Parse the command line, measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=Path, help="folder of videos (default: drawn ones)")
    parser.add_argument("--count", type=int, default=133, help="drawn videos")
    parser.add_argument("--frames", type=int, default=95, help="frames of a drawn video")
    parser.add_argument("--share", type=int, default=3, help="of videos for slow ways: every n-th")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", type=Path, help="where to write (default: the temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        videos = options.videos
        if videos is None:
            videos = Path(folder) / "videos"
            draw_videos(videos, options.count, options.frames)
        some = link_share(videos.absolute(), Path(folder) / "some", options.share)
        report(measure(videos.absolute(), some, Path(folder), options.repeats))


if __name__ == "__main__":
    main()
