"""Run the real workflow from a list of many tiny videos to the split: time and memory.

Generated videos of 8 frames of 32x32, all with other pixels, so that what counts is the cost of a
video, a class and a job, not that of decoding. Memory is that of all processes together.

    python benchmarks/many_videos.py --classes 2 --videos 20000 20
    python benchmarks/many_videos.py --classes 500 --videos 4
"""

import argparse
import tempfile
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from large_list import run, write_config
from plan import workflow

SPLIT = "results/large/experiments/rgb/split1/split.tsv"


def write_videos(folder: Path, classes: list[str], videos: list[int]) -> None:
    """Write the videos, each of random pixels, and the list of them."""
    random = np.random.default_rng(0)
    rows = ["path,label,split"]
    for cls, count in zip_longest(classes, videos, fillvalue=videos[-1]):
        (folder / str(cls)).mkdir(parents=True)
        for number in range(int(count)):
            path = f"{cls}/video_{number:05d}.avi"
            code = cv2.VideoWriter.fourcc(*"MJPG")
            writer = cv2.VideoWriter(str(folder / path), code, 25.0, (32, 32))
            for _ in range(8):
                writer.write(random.integers(0, 256, (32, 32, 3), np.uint8))
            writer.release()
            rows.append(f"{path},{cls},{'test' if number % 4 == 0 else 'train'}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")


def main() -> None:
    """Parse the command line, run, and print a row for each run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument(
        *("--videos", "-v"), type=int, nargs="+", default=[20_000, 20], help="the last for the rest"
    )
    parser.add_argument("--chunk", type=int, default=1000, help="videos a job, about")
    options = parser.parse_args()
    classes = [f"class_{number:03d}" for number in range(options.classes)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        videos = folder / "videos"
        write_videos(videos, classes, options.videos)
        config = write_config(folder, videos / "list.csv", classes, chunk=options.chunk)
        arguments = [*workflow(config), SPLIT]
        print("| run | seconds | CPU seconds | MB |\n| --- | --- | --- | --- |")
        ways = {"everything to the split": [], "nothing to do, dry run": ["-n"]}
        for way, more in ways.items():
            _, seconds, used, megabytes = run(folder, *arguments, *more)
            print(f"| {way} | {seconds:.0f} | {used:.0f} | {megabytes:.0f} |", flush=True)


if __name__ == "__main__":
    main()
