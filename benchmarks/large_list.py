"""Measure what planning costs where a list names 240,000 segments in 400 classes, as Kinetics-400.

A dry run before anything is made, and runs that find nothing to do, of a table and of a list as
Kinetics has it. Memory is that of all processes together. Nothing is decoded: the videos are empty
files, and the tables and references are those that a run with `frames.store: video` leaves.

    python benchmarks/large_list.py
"""

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml
from plan import outputs_of, pretend_outputs, workflow

from actionrec.frames.manifest import FrameRecord, write_manifest
from actionrec.frames.references import NAME, SUFFIX
from actionrec.frames.segments import read_segments
from actionrec.sources.table import VideoList, list_table

LISTS = ("table", "kinetics")
PR_SET_CHILD_SUBREAPER = 36  # from prctl.h
HEADERS = {"table": "path,label,split", "kinetics": "label,youtube_id,time_start,time_end,split"}


def class_names(count: int) -> list[str]:
    """Return the names of `count` classes."""
    return [f"class {index:03d}" for index in range(count)]


def rows(form: str, classes: list[str], segments: int) -> Iterator[tuple[str, str]]:
    """Yield each row of a list in a form, and the path of its video."""
    for index in range(segments):
        cls = classes[index % len(classes)]
        split = "test" if index % 10 == 0 else "train"
        if form == "table":
            path = f"{cls}/video_{index:06d}.mp4"
            yield f"{path},{cls},{split}", path
        else:
            name = f"id{index:09d}"
            start = index % 90
            path = f"{cls}/{name}_{start:06d}_{start + 10:06d}.mp4"
            yield f"{cls},{name},{start},{start + 10},{split}", path


def write_dataset(folder: Path, form: str, classes: list[str], segments: int) -> Path:
    """Write the list, the videos and the configuration; return the last."""
    for cls in classes:
        Path(folder, "videos", cls).mkdir(parents=True)
    with (folder / "list.csv").open("w") as file:
        file.write(HEADERS[form] + "\n")
        for row, path in rows(form, classes, segments):
            file.write(row + "\n")
            (folder / "videos" / path).touch()
    return write_config(folder, folder / "list.csv", classes)


def write_config(folder: Path, path: Path, classes: list[str], **frames: object) -> Path:
    """Write a configuration that reads the list at `path` and keeps frames in their videos."""
    config = {
        "dataset": {
            "name": "large",
            "source": "table",
            "path": str(path),
            "videos": str(folder / "videos"),
            "classes": classes,
        },
        "frames": {"store": "video", **frames},
        "splits": {"method": "given"},
        "experiments": {"rgb": {}},
    }
    written = folder / "config.yaml"
    written.write_text(yaml.safe_dump(config))
    return written


def pretend_frames(folder: Path, classes: list[str]) -> None:
    """Leave the tables that the list becomes, and what the extraction of frames would leave."""
    tables = folder / "results/large/tables"
    kinds = ({cls: tables / kind / f"{cls}.tsv" for cls in classes} for kind in ("videos", "parts"))
    list_table(VideoList({"": folder / "list.csv"}, folder / "videos"), *kinds)
    for cls in classes:
        records = []
        for segment in read_segments(tables / "videos" / f"{cls}.tsv"):
            rgb = folder / "resources/large/frames" / cls / segment.video / "rgb"
            rgb.mkdir(parents=True)
            (rgb / NAME).touch()
            records.append(_record(segment.video, segment.file))
        write_manifest(tables / "frames" / f"{cls}.tsv", records)


def _record(video: str, file: str) -> FrameRecord:
    measures = {"frames": 300, "width": 340, "height": 256, "fps": 30.0, "bytes": 0}
    texts = {"sha256": "0" * 64, "suffix": SUFFIX, "format": SUFFIX, "status": "ok", "reason": ""}
    return FrameRecord(video=video, file=file, content="0" * 64, **measures, **texts)


def run(folder: Path, *arguments: str) -> tuple[str, float, float, float]:
    """Run Snakemake; return what it printed, wall and CPU seconds, and MB of all its processes."""
    peak = 0

    def watch(process: psutil.Process) -> None:
        nonlocal peak
        while process.is_running():
            try:
                tree = [process, *process.children(recursive=True)]
                peak = max(peak, sum(one.memory_info().rss for one in tree))
            except psutil.Error:
                return
            time.sleep(0.05)

    # A job does not wait for the server that its workers are forked from: it is for us to do so.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    began, before = time.monotonic(), psutil.Process().cpu_times()
    with (folder / "printed.txt").open("w+") as printed:
        child = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=folder,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        watcher = threading.Thread(target=watch, args=(psutil.Process(child.pid),))
        watcher.start()
        failed = child.wait()
        seconds = time.monotonic() - began
        watcher.join()
        _wait_for_orphans()
        after = psutil.Process().cpu_times()
        printed.seek(0)
        said = printed.read()
    if failed:
        sys.exit(said[-3000:])
    used = after.children_user + after.children_system
    return said, seconds, used - before.children_user - before.children_system, peak / 2**20


def _wait_for_orphans() -> None:
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def measure(form: str, classes: list[str], segments: int) -> None:
    """Print a row of the table for each way to plan."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        arguments = workflow(write_dataset(folder, form, classes, segments))
        planned = _show(form, "dry run of everything", run(folder, "-n", *arguments))
        pretend_frames(folder, classes)
        pretend_outputs(folder, outputs_of(planned))
        run(folder, "--touch", *arguments)
        said = _show(form, "nothing to do", run(folder, "-n", *arguments))
        if "Nothing to be done" not in said:
            sys.exit(f"There was something to do:\n{said[-3000:]}")


def _show(form: str, way: str, result: tuple[str, float, float, float]) -> str:
    said, seconds, used, megabytes = result
    print(f"| {form} | {way} | {seconds:.1f} | {used:.1f} | {megabytes:.0f} |", flush=True)
    return said


def main() -> None:
    """Parse the command line, measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--segments", type=int, default=240_000)
    parser.add_argument("--classes", type=int, default=400)
    options = parser.parse_args()
    print("| list | run | seconds | CPU seconds | MB |\n| --- | --- | --- | --- | --- |")
    for form in LISTS:
        measure(form, class_names(options.classes), options.segments)


if __name__ == "__main__":
    main()
