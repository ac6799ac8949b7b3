"""Measure what planning costs: HMDB51 whole, 51 classes x 3 splits x 4 experiments.

A dry run that would do everything, and runs that find nothing to do, next to no frame files and
next to half a million. CPU seconds, so that other load matters little, and the largest process.
`snakemake --version` and an empty Snakefile's dry run tell what Snakemake itself needs.

    python benchmarks/plan.py
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow/scripts"))

from actionrec.frames.manifest import FrameRecord, write_manifest  # noqa: E402
from actionrec.frames.videos import write_files_table  # noqa: E402
from actionrec.spec.render import write_generated  # noqa: E402

VIDEOS = 133  # a class
OUTPUTS = re.compile(r"^ {4}output: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Cost:
    """What one run took: CPU seconds, and the resident memory of its largest process in MB."""

    seconds: float
    megabytes: float


def run(folder: Path, *arguments: str) -> tuple[Cost, str]:
    """Run Snakemake in a folder; return its cost and what it printed."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    with (folder / "printed.txt").open("w+") as printed:
        child = subprocess.Popen(command, cwd=folder, stdout=printed, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        said = printed.read()
    if child.returncode:
        sys.exit(said[-3000:])
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), said


def write_config(folder: Path) -> Path:
    """Write HMDB51's configuration with two experiments more."""
    config = yaml.safe_load((REPOSITORY / "config/hmdb51_full.yaml").read_text())
    for number, (name, experiment) in enumerate(list(config["experiments"].items())):
        spec = (experiment or {}).get("spec", {})
        other = {**spec, "train": {"seed": number + 2}}
        config["experiments"][f"{name}_again"] = {"spec": other}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def workflow(config: Path) -> list[str]:
    """Return the arguments that plan the configuration."""
    return [
        *("--snakefile", str(REPOSITORY / "Snakefile"), "--workflow-profile", "none"),
        *("--configfile", str(config), "--cores", "2"),
    ]


def pretend(folder: Path, classes: list[str], outputs: list[str], frames: int) -> None:
    """Leave what a finished run would: its tables, `frames` images a video, empty other outputs."""
    for cls in classes:
        clips, videos = [], folder / "resources/hmdb51/videos" / cls
        videos.mkdir(parents=True)
        for number in range(VIDEOS):
            video = videos / f"video_{number:03d}.avi"
            video.touch()
            rgb = folder / "resources/hmdb51/frames" / cls / video.stem / "rgb"
            rgb.mkdir(parents=True)
            for image in range(frames):
                (rgb / f"{image + 1:06d}.png").touch()
            clips.append(_clip(video.stem, frames))
        table = folder / "results/hmdb51/tables/videos" / f"{cls}.tsv"
        write_files_table(table, sorted(videos.iterdir()))
        write_manifest(folder / "results/hmdb51/tables/frames" / f"{cls}.tsv", clips)
    pretend_outputs(folder, outputs)


def pretend_outputs(folder: Path, outputs: list[str]) -> None:
    """Leave files and folders for the outputs that are not there yet."""
    for output in outputs:
        path = folder / output
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "data":
            path.mkdir(exist_ok=True)
        elif path.parent.name == "specs":
            write_generated(path, "pretended: true\n")
        elif not path.exists():
            path.write_text("pretended\n")


def _clip(video: str, frames: int) -> FrameRecord:
    return FrameRecord(
        video, f"{video}.avi", frames, 320, 240, 30.0, 0, "0" * 64, "png", "png", "ok", "", video
    )


def outputs_of(printed: str) -> list[str]:
    """Return the files that a dry run says it would make, in the order of its jobs."""
    found = [file for line in OUTPUTS.findall(printed) for file in line.split(", ")]
    return [re.sub(r" \(.*\)$", "", file) for file in found]


def measure(repeats: int, frames: int) -> dict[str, list[Cost]]:
    """Return the costs of all ways to plan."""
    costs: dict[str, list[Cost]] = {}

    def add(way: str, folder: Path, *arguments: str) -> str:
        runs = [run(folder, *arguments) for _ in range(repeats)]
        costs[way] = [cost for cost, _ in runs]
        return runs[-1][1]

    with tempfile.TemporaryDirectory() as temporary:
        empty = Path(temporary)
        (empty / "Snakefile").write_text("rule all:\n    shell: 'true'\n")
        add("Snakemake: its version", empty, "--version")
        add("Snakemake: dry run of one rule", empty, "-n", "--cores", "2")
    for images in (0, frames):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            config = write_config(folder)
            classes = yaml.safe_load(config.read_text())["dataset"]["classes"]
            planned = add("dry run of everything", folder, "-n", *workflow(config))
            pretend(folder, classes, outputs_of(planned), images)
            run(folder, "--touch", *workflow(config))
            files = len(classes) * VIDEOS * images
            said = add(f"nothing to do, {files} frame files", folder, *workflow(config))
            if "Nothing to be done" not in said:
                sys.exit(f"There was something to do:\n{said[-3000:]}")
    return costs


def report(costs: dict[str, list[Cost]]) -> None:
    """Print a Markdown table."""
    print("| run | median CPU s (min-max) | MB |\n| --- | --- | --- |")
    for way, runs in costs.items():
        seconds = sorted(cost.seconds for cost in runs)
        print(
            f"| {way} | {statistics.median(seconds):.1f} ({seconds[0]:.1f}-{seconds[-1]:.1f}) "
            f"| {max(cost.megabytes for cost in runs):.0f} |",
            flush=True,
        )


def main() -> None:
    """Parse the command line, measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, default=74, help="frame files of each video")
    options = parser.parse_args()
    report(measure(options.repeats, options.frames))


if __name__ == "__main__":
    main()
